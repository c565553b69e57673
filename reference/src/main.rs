//! Stands in for the image k8spatterns/random-generator: its paths, variables, files and exit codes, on one port.
//! `docs/reference.md` compares the two. What is unsafe here (anyone may call `/shutdown` and `/memory-eater`) exists nowhere else.
//!
//! In reading order: [`invocation`] (which of three programs this process is), [`settings`] (from the [`environment`] and files of
//! [`properties`]), [`service`] (start and stop), [`start`] (what the port waits for), [`answers`] (one file a group of paths), then
//! [`batch`], the image's `RandomRunner`.

mod answers;
mod appending;
mod batch;
mod burn;
mod environment;
mod fault;
mod invocation;
mod java_number;
mod line;
mod log_file;
mod log_url;
mod memory;
mod numbers;
mod properties;
mod ready_file;
mod service;
mod settings;
mod start;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::thread::available_parallelism;
use std::time::Duration;

use random_generator::exit::Exit;
use tokio::runtime::{Builder, Runtime};

use self::environment::Environment;
use self::invocation::Invocation;
use self::settings::Settings;

/// A thread that writes into a pipe nobody reads must not keep the process from ending.
const THREADS_WITHIN: Duration = Duration::from_secs(1);
/// The exit code of the image when a setting or an argument is wrong.
const FAILED: u8 = 1;

/// Why the process failed: one line on standard error, and an exit code.
struct Failure {
    code: u8,
    line: String,
}

impl Failure {
    fn new(code: u8, reason: impl ToString) -> Failure {
        Failure {
            code,
            line: reason.to_string(),
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let Err(failure) = run(&arguments, &Environment::read()) else {
        return ExitCode::SUCCESS;
    };
    // Control characters in a value would reach the terminal.
    let line: String = failure
        .line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    // With standard error closed, nobody can read it.
    let _ = writeln!(io::stderr(), "random-generator-reference: {line}");
    // Java ends with 1, whatever is wrong.
    ExitCode::from(if invocation::is_java(&arguments) {
        FAILED
    } else {
        failure.code
    })
}

fn run(arguments: &[OsString], environment: &Environment) -> Result<(), Failure> {
    match invocation::parse(arguments, environment).map_err(|error| Failure::new(FAILED, error))? {
        Invocation::Service => serve(environment),
        Invocation::Batch(arguments) => run_batch(&arguments, environment.writes_over_lines()),
        Invocation::Version => print(concat!("random-generator-reference ", env!("CARGO_PKG_VERSION"), "\n")),
        Invocation::Member(arguments) => Err(become_member(&arguments)),
    }
}

fn serve(environment: &Environment) -> Result<(), Failure> {
    environment.start_log()?;
    let settings = Settings::read(environment).map_err(|error| Failure::new(FAILED, error))?;
    let runtime = match available_parallelism() {
        // Threads that take turns on a share of one processor only cost.
        Ok(processors) if processors.get() == 1 => built(&mut Builder::new_current_thread())?,
        _ => built(&mut Builder::new_multi_thread())?,
    };
    let result = runtime.block_on(service::run(settings));
    runtime.shutdown_timeout(THREADS_WITHIN);
    result.map_err(|error| Failure::new(error.exit() as u8, error))
}

fn run_batch(arguments: &[OsString], shows_progress: bool) -> Result<(), Failure> {
    let batch = match batch::parse(arguments) {
        Ok(batch) => batch,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
            return Err(Failure::new(Exit::Usage as u8, format!("{line}; see batch --help")));
        }
        Err(help) => return print(&help.to_string()),
    };
    built(&mut Builder::new_current_thread())?
        .block_on(batch::run(batch, shows_progress))
        .map_err(|error| Failure::new(error.exit() as u8, error))
}

/// Replaces this process by the member beside it; returns only when that fails.
fn become_member(arguments: &[OsString]) -> Failure {
    let member = match std::env::current_exe() {
        Ok(program) => program.with_file_name("random-generator"),
        Err(error) => return Failure::new(Exit::Io as u8, error),
    };
    let mut command = Command::new(&member);
    command.args(arguments);
    // A member warns about variables it doesn't know.
    environment::OWN.iter().for_each(|name| {
        command.env_remove(name);
    });
    let error = command.exec();
    Failure::new(
        Exit::Io as u8,
        format!("can't run the member {}: {error}", member.display()),
    )
}

fn print(text: &str) -> Result<(), Failure> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Io as u8, format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn built(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io as u8, format!("can't start the runtime: {error}")))
}

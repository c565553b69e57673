//! The command line: one file a subcommand. A new one is a `mod` line, a variant of [`Command`] and an arm of
//! [`Command::run`].

mod admin;
pub mod cluster;
mod completions;
mod console;
pub mod draws;
mod events;
pub mod failure;
mod follow;
mod get;
pub mod health;
mod help;
mod journal;
pub mod leader;
mod ledger;
pub mod peers;
mod serve;
mod spread;
pub mod status;
pub mod target;
mod usage;
pub mod verify;

use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};

pub use crate::exit::Exit;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
pub use failure::Failure;

use crate::clock::Clock;
use crate::config::{self, ClusterArgs, ColourArg, ServeArgs, Terminal};
use console::{Colour, Console};
use tokio::runtime::Runtime;

/// For a command that writes no table.
const PLAIN: Colour = Colour {
    color: ColourArg::Never,
};

/// A set of members that serve random numbers and draw together, one draw a slot.
#[derive(Debug, Parser)]
#[command(name = "random-generator", version, propagate_version = true, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one member
    Serve(Box<ServeArgs>),
    Cluster(ClusterArgs),
    /// Get random values from members: numbers, bytes, ids and more
    Get(get::Args),
    /// Show draws, oldest first; --follow continues with new ones
    Draws(draws::Args),
    /// Verify a chain of draws: a file, standard input, or everything a member keeps
    Verify(verify::Args),
    /// Show the members that DNS lists
    Peers(target::OneMember),
    /// Show who holds the lease and conducts the draws
    Leader(target::OneMember),
    /// Show every member on one screen, as one of them sees it: exit code 0 if all are ready, else 75
    Status(status::Args),
    /// Check that members are alive and ready: exit code 0 if all are, else 75
    Health(health::Args),
    /// Show what a member gave out, read from its volume; the member may be running
    Journal(journal::Args),
    /// Check a ledger of draws on a volume, or repair a running member's
    Ledger(ledger::Args),
    /// Log level, shutdown, journal and ledger of a running member
    Admin(admin::Args),
    /// Write a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// Write manual pages
    Man(completions::ManArgs),
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Command::Serve(args) => serve::run(*args),
            Command::Cluster(args) => run_cluster(args),
            Command::Get(args) => run_on(client_runtime()?, get::run(&args, Clock::system())),
            Command::Draws(args) => with_console(args.colour, async |console| draws::run(&args, console).await),
            Command::Verify(args) => with_console(PLAIN, async |console| verify::run(&args, console).await),
            Command::Peers(args) => with_console(args.colour, async |console| peers::run(&args, console).await),
            Command::Leader(args) => with_console(args.colour, async |console| leader::run(&args, console).await),
            Command::Status(args) => with_console(args.colour, async |console| status::run(&args, console).await),
            Command::Health(args) => with_console(args.colour, async |console| health::run(&args, console).await),
            Command::Journal(args) => with_console(args.colour, async |console| journal::run(&args, console).await),
            Command::Ledger(args) => with_console(PLAIN, async |console| ledger::run(&args, console).await),
            Command::Admin(args) => with_console(PLAIN, async |console| admin::run(&args, console).await),
            Command::Completions(args) => with_console(PLAIN, async |console| {
                completions::completions(&args, command(), console)
            }),
            Command::Man(args) => with_console(PLAIN, async |console| completions::man(&args, command(), console)),
        }
    }
}

/// Parses and runs. When this returns, a failure has been reported on standard error.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    run_to_exit(|| match parse(with_default_command(arguments)) {
        Ok(cli) => cli.command.run(),
        Err(error) if error.use_stderr() => Err(usage::failure(&error)),
        Err(help_or_version) => match help_or_version.print() {
            // The reader is gone.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            printed => printed.map_err(|error| Failure::new(Exit::Io, format!("standard output: {error}"))),
        },
    })
}

/// All commands and their arguments, as `--help`, completions, man pages and docs/command_line.md have them.
pub fn command() -> clap::Command {
    help::complete(Cli::command())
}

fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    Cli::from_arg_matches(&command().try_get_matches_from(arguments)?)
}

fn run_to_exit(command: impl FnOnce() -> Result<(), Failure>) -> Exit {
    match panic::catch_unwind(AssertUnwindSafe(command)) {
        Ok(Ok(())) => Exit::Done,
        Ok(Err(failure)) => {
            failure.report();
            failure.exit
        }
        // The hook has reported it.
        Err(_) => Exit::Bug,
    }
}

/// `serve` may be left out: no arguments at all start a member, and a Pod's `args` need not repeat it.
fn with_default_command(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let named = match arguments.get(1).and_then(|first| first.to_str()) {
        None => arguments.len() > 1,
        Some("-h" | "--help" | "-V" | "--version") => true,
        Some(first) => !first.starts_with('-'),
    };
    if !named {
        arguments.insert(arguments.len().min(1), "serve".into());
    }
    arguments
}

/// Writes each panic as one line to standard error. The task that joins the panicked part ends the member with [`Exit::Bug`].
pub fn report_panics() {
    panic::set_hook(Box::new(|panic| {
        let message = panic.payload_as_str().unwrap_or("no message");
        let place = panic
            .location()
            .map_or_else(String::new, |at| format!(" at {}:{}", at.file(), at.line()));
        failure::note(&format!("a bug{place}: {message}; please report it"));
    }));
}

/// Runs `cluster` with what only the command line knows.
fn run_cluster(args: ClusterArgs) -> Result<(), Failure> {
    // The members log it too, where nobody may look.
    for variable in config::unknown_variables(&command()) {
        let advice = config::advice(&variable);
        failure::note(&format!("{variable}: unknown variable, ignored; {advice}"));
    }
    let program = std::env::current_exe().map_err(|error| {
        let line = format!("cannot find the program to start members with: {error}");
        Failure::new(Exit::Io, line)
    })?;
    let wiring = cluster::ClusterWiring {
        program,
        parse: |arguments| {
            let arguments = std::iter::once("random-generator").chain(arguments.iter().map(String::as_str));
            match Cli::try_parse_from(arguments).map(|cli| cli.command) {
                Ok(Command::Serve(args)) => Ok(*args),
                Ok(_) => Err(String::from("only arguments of serve may follow those of cluster")),
                Err(error) => Err(usage::failure(&error).line),
            }
        },
        output: Box::new(io::stdout()),
        colour: Terminal::stdout().colour,
        clock: Clock::system(),
    };
    run_on(client_runtime()?, cluster::run(args, wiring)).map_err(|error| Failure::new(error.exit(), error))
}

/// Runs a command that writes to standard output, and shows progress on a terminal.
fn with_console(
    colour: Colour,
    command: impl AsyncFnOnce(&mut Console<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (mut out, mut error) = (io::stdout().lock(), io::stderr());
    let mut console = Console {
        out: &mut out,
        progress: Terminal::stderr().overwrites.then_some(&mut error as &mut dyn Write),
        colour: Terminal::stdout().with_colour(colour.color).colour,
        overwrites: Terminal::stdout().overwrites,
        clock: Clock::system(),
    };
    run_on(client_runtime()?, command(&mut console))
}

/// Runs a command to its end, and waits for nothing else. All that may be left is a name that the system's resolver still looks
/// up, on a thread that can't be stopped: everything else is joined by its owner.
fn run_on<T>(runtime: Runtime, command: impl Future<Output = T>) -> T {
    let ended = runtime.block_on(command);
    runtime.shutdown_background();
    ended
}

/// The runtime of a command that talks to members and ends.
fn client_runtime() -> Result<Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::Io, format!("the runtime can't start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> Vec<OsString> {
        with_default_command(arguments.iter().map(OsString::from))
    }

    #[test]
    fn serve_may_be_left_out_and_only_serve() {
        assert_eq!(given(&["rg"]), ["rg", "serve"]);
        assert_eq!(given(&["rg", "--voters", "1"]), ["rg", "serve", "--voters", "1"]);
        assert_eq!(given(&["rg", "--help"]), ["rg", "--help"]);
        assert_eq!(given(&["rg", "ledger"]), ["rg", "ledger"]);
        assert_eq!(given(&["rg", "serv"]), ["rg", "serv"]);
    }

    #[test]
    fn a_panic_is_a_bug_and_a_failure_keeps_its_code() {
        assert_eq!(run_to_exit(|| Ok(())), Exit::Done);
        assert_eq!(
            run_to_exit(|| Err(Failure::new(Exit::TryAgain, "busy"))),
            Exit::TryAgain
        );
        assert_eq!(run_to_exit(|| panic!("unthinkable")), Exit::Bug);
    }

    #[test]
    fn a_look_up_that_takes_its_time_holds_up_no_end() {
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (ended, end) = std::sync::mpsc::channel();
        let command = std::thread::spawn(move || {
            let value = run_on(client_runtime().unwrap(), async {
                drop(tokio::task::spawn_blocking(move || held.recv()));
                7
            });
            ended.send(value)
        });
        let value = end.recv_timeout(std::time::Duration::from_secs(10));
        drop(release);
        command.join().unwrap().unwrap();
        assert_eq!(value, Ok(7));
    }

    #[test]
    fn every_argument_is_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_stands_in_one_group_of_the_help() {
        let mut grouped: Vec<&str> = help::GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        grouped.sort_unstable();
        let cli = Cli::command();
        let mut commands: Vec<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
        commands.push("help");
        commands.sort_unstable();
        assert_eq!(grouped, commands);
    }

    #[test]
    fn a_usage_error_is_one_line_that_keeps_the_suggestion() {
        let error = Cli::try_parse_from(["rg", "serve", "--draw-scedule", "x"]).unwrap_err();
        let failure = usage::failure(&error);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.line.contains("'--draw-scedule'") && failure.line.contains("'--draw-schedule'"),
            "{}",
            failure.line
        );
        assert!(
            !failure.line.contains('\n') && !failure.line.contains("Usage:"),
            "{}",
            failure.line
        );
    }

    #[test]
    fn an_argument_that_was_renamed_is_answered_with_its_new_name() {
        let error = Cli::try_parse_from(["rg", "serve", "--lease-file", "x"]).unwrap_err();
        assert_eq!(
            usage::failure(&error).line,
            "--lease-file is --lease-directory now; see --help"
        );
        assert_eq!(
            config::advice("RANDOM_GENERATOR_LEASE_FILE"),
            "it is RANDOM_GENERATOR_LEASE_DIRECTORY now"
        );
        assert_eq!(config::advice("RANDOM_GENERATOR_VOTRES"), "see serve --help");
    }

    #[test]
    fn every_argument_of_serve_has_its_variable_and_none_that_kubernetes_would_set() {
        let cli = Cli::command();
        let serve = cli.find_subcommand("serve").unwrap();
        let mut seen = 0;
        for argument in serve
            .get_arguments()
            .filter(|argument| !["help", "version"].contains(&argument.get_id().as_str()))
        {
            let long = argument.get_long().unwrap();
            let expected = format!("RANDOM_GENERATOR_{}", long.replace('-', "_").to_uppercase());
            assert_eq!(
                argument.get_env().and_then(|name| name.to_str()),
                Some(expected.as_str())
            );
            assert!(!long.starts_with("port") && !long.starts_with("service"), "--{long}");
            seen += 1;
        }
        assert!(seen > 25, "only {seen} arguments seen");
    }
}

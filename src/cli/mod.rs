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
use crate::config::{ClusterArgs, ColourArg, ServeArgs, Terminal};
use console::{Colour, Console};
use tokio::runtime::Runtime;

const AFTER_HELP: &str = "\
Without a command it serves: `random-generator --voters 1` is `random-generator serve --voters 1`.

Examples:
  random-generator                                a member alone, on port 8080
  random-generator cluster --members 3            a set of three on this machine
  random-generator serve --draw-schedule '@every 10s'
  random-generator verify http://127.0.0.1:8080   the whole chain that a member keeps
  random-generator get integers --min 1 --max 6 --count 5
  random-generator draws --follow                 draws as they come

Exit codes: 0 success, 64 usage, 65 data that doesn't verify,
70 a bug, 74 I/O, 75 try again later, 78 configuration, or a volume that belongs to another member.";

const AFTER_SERVE_HELP: &str = "\
Durations are a number and a unit: 500ms, 1.5s, 2m. Sizes are bytes or a number and a unit: 64KB, 10MiB.
Each argument may be given as a variable: --draw-schedule is RANDOM_GENERATOR_DRAW_SCHEDULE. The argument wins.

Examples:
  random-generator serve --data-dir /data --durability power
  random-generator serve --draw-schedule '*/5 * * * *' --draw-deadline 20s
  random-generator serve --pod-name rg-2 --voters 3 --discovery-name rg-peers.default.svc.cluster.local";

const AFTER_CLUSTER_HELP: &str = "\
Arguments of serve may follow; every member gets them. Member N has its process id in DIR/rg-N.pid and its volume in DIR/rg-N.

Examples:
  random-generator cluster --members 5 --base-port 9000
  random-generator cluster --members 3 --lease-duration 2s --draw-schedule '@every 2s'";

const AFTER_VERIFY_HELP: &str = "\
Checks the rules of docs/protocol.md, 1.3, and names the first one broken; verify_draws.py does the same. With --integers (1.4)
the verdict is the first line, then one integer a line.
Exit codes: 0 verified, 65 not verified, 64 usage, 74 the file can't be read, 75 the member can't be reached.

Examples:
  random-generator verify http://127.0.0.1:8080
  random-generator draws --json --limit 1000 | random-generator verify
  random-generator verify draws.jsonl --head $(jq -r .hash seen.json)
  random-generator verify http://127.0.0.1:8080 --round 7 --integers 1..200 --count 3 --unique";

const AFTER_GET_HELP: &str = "\
Several members, or a Service, share the work; when one fails another is asked. The output is complete, or the exit code is not 0.

Examples:
  random-generator get integers --min 1 --max 6 --count 5
  random-generator get bytes --count 1GiB --output noise.bin srv://rg.default.svc.cluster.local
  random-generator get ids --count 100 http://127.0.0.1:8080 http://127.0.0.1:8090";

const AFTER_DRAWS_HELP: &str = "\
Examples:
  random-generator draws --limit 5
  random-generator draws --follow http://127.0.0.1:8080 http://127.0.0.1:8090 http://127.0.0.1:8100
  random-generator draws --json --from 1 --limit 1000 | random-generator verify";

const AFTER_PEERS_HELP: &str = "\
Examples:
  random-generator peers http://127.0.0.1:8090
  random-generator peers --json srv://rg.default.svc.cluster.local";

const AFTER_LEADER_HELP: &str = "\
Examples:
  random-generator leader http://127.0.0.1:8090
  random-generator leader --json | jq -r .member";

const AFTER_HEALTH_HELP: &str = "\
Examples:
  random-generator health http://127.0.0.1:8080 http://127.0.0.1:8090
  random-generator health srv://rg.default.svc.cluster.local || echo 'not all are ready'
  random-generator health --discovery-nameserver 127.0.0.1:5353 srv://rg.default.svc.cluster.local";

const AFTER_JOURNAL_HELP: &str = "\
Reading doesn't slow a running member: rows are read page by page. The oldest rows are removed when the journal is full; rows
removed while they are being read are reported on standard error. In CSV, a request id or parameter that begins with = + - @
gets a leading ', so that a spreadsheet never runs what a client sent. JSON lines are unchanged.

Examples:
  random-generator journal random-generator-data/cluster/rg-0 --limit 10
  random-generator journal /data --follow --path /integers
  random-generator journal /data --format csv --since 2026-11-21T06:00:00Z --until 2026-11-21T07:00:00Z > hour.csv";

const AFTER_LEDGER_HELP: &str = "\
docs/protocol.md, 3.5, explains restoring and restarting. When the reserved space is full the oldest rounds are deleted; `check`
says where the chain starts.

Examples:
  random-generator ledger check random-generator-data/cluster/rg-0
  random-generator ledger restore --admin http://127.0.0.1:8082
  random-generator ledger restart --yes";

const AFTER_ADMIN_HELP: &str = "\
The admin listener is on the member's own host only; on Kubernetes: kubectl exec rg-0 -- random-generator admin ...

Examples:
  random-generator admin log-level
  random-generator admin log-level warn,random_generator::draw=debug
  random-generator admin ledger --json
  random-generator admin shutdown --admin http://127.0.0.1:8092";

/// For a command that writes no table.
const PLAIN: Colour = Colour {
    color: ColourArg::Never,
};

/// A set of members that serve random numbers and draw together, one draw a slot.
#[derive(Debug, Parser)]
#[command(name = "random-generator", version, propagate_version = true, after_help = AFTER_HELP, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one member
    #[command(after_help = AFTER_SERVE_HELP)]
    Serve(Box<ServeArgs>),
    #[command(after_help = AFTER_CLUSTER_HELP)]
    Cluster(ClusterArgs),
    /// Get random values from members: numbers, bytes, ids and more
    #[command(after_help = AFTER_GET_HELP)]
    Get(get::Args),
    /// Show draws, oldest first; --follow continues with new ones
    #[command(after_help = AFTER_DRAWS_HELP)]
    Draws(draws::Args),
    /// Verify a chain of draws: a file, standard input, or everything a member keeps
    #[command(after_help = AFTER_VERIFY_HELP)]
    Verify(verify::Args),
    /// Show the members that DNS lists
    #[command(after_help = AFTER_PEERS_HELP)]
    Peers(target::OneMember),
    /// Show who holds the lease and conducts the draws
    #[command(after_help = AFTER_LEADER_HELP)]
    Leader(target::OneMember),
    /// Check that members are alive and ready: exit code 0 if all are, else 75
    #[command(after_help = AFTER_HEALTH_HELP)]
    Health(health::Args),
    /// Show what a member gave out, read from its volume; the member may be running
    #[command(after_help = AFTER_JOURNAL_HELP)]
    Journal(journal::Args),
    /// Check a ledger of draws on a volume, or repair a running member's
    #[command(after_help = AFTER_LEDGER_HELP)]
    Ledger(ledger::Args),
    /// Log level, shutdown, journal and ledger of a running member
    #[command(after_help = AFTER_ADMIN_HELP)]
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
    help::grouped(Cli::command())
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
        progress: Terminal::stderr().interactive.then_some(&mut error as &mut dyn Write),
        colour: Terminal::stdout().with_colour(colour.color).colour,
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

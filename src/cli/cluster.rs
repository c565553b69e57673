//! `random-generator cluster`: a set of real members on this machine.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::serve;
use crate::clock::Clock;
use crate::config::{ClusterArgs, LeaseStoreArg, ServeArgs};
use crate::listen::ListenAddress;
use crate::local::layout::{ClusterError, Layout, Place};
use crate::local::output::Output;
use crate::local::supervisor::Supervisor;
use crate::shutdown::{self, StopSignals, repeats};

const SET: &str = "rg";
const SERVICE: &str = "rg.default.svc.cluster.local";
/// From SIGTERM to SIGKILL: more than a member's own limits for draining and flushing.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What `cluster` takes from the composition root.
pub struct ClusterWiring {
    /// The program that has `serve`: `std::env::current_exe()`.
    pub program: PathBuf,
    /// Reads a command line that begins with `serve`, and the variables; the error says what is wrong with it.
    pub parse: fn(&[String]) -> Result<ServeArgs, String>,
    /// Standard output.
    pub output: Box<dyn Write + Send>,
    /// Only on a terminal, and without NO_COLOR.
    pub colour: bool,
    pub clock: Clock,
}

/// Runs the set until SIGINT or SIGTERM; a second one ends it at once.
pub async fn run(args: ClusterArgs, wiring: ClusterWiring) -> Result<(), ClusterError> {
    let args = args.with_trailing_options().map_err(ClusterError::Arguments)?;
    let layout = Layout::new(SET, args.members, args.base_port, &args.data_dir)?;
    let parse = |line: &[String]| (wiring.parse)(line).map_err(ClusterError::Arguments);
    let passed: Vec<String> = std::iter::once("serve".to_owned())
        .chain(args.serve.iter().cloned())
        .collect();
    let lease_directory = match parse(&passed)?.lease.lease_store {
        LeaseStoreArg::Directory => Some(layout.lease_directory()),
        LeaseStoreArg::Kubernetes => None,
    };
    let arguments_of = |place: &Place, nameserver: SocketAddr| {
        let members = layout.members.len();
        serve_arguments(place, members, lease_directory.clone(), nameserver, &args.serve)
    };
    // Before anything is made: with a wrong option there is nothing to clean up. The nameserver's port isn't known yet.
    let unknown = SocketAddr::from(([127, 0, 0, 1], 53));
    for place in &layout.members {
        let arguments = parse(&arguments_of(place, unknown)?)?;
        serve::check(arguments).map_err(|failure| ClusterError::Arguments(failure.line))?;
    }
    let mut requests = StopSignals::listen().map_err(ClusterError::Signals)?;

    let supervisor = Supervisor::prepare(layout.clone(), SET, SERVICE, wiring.clock.clone(), STOP_LIMIT).await?;
    let nameserver = supervisor.nameserver();
    let output = Output::new(
        wiring.output,
        args.json,
        wiring.colour,
        wiring.clock,
        layout.members.clone(),
    )
    .with_dns(SERVICE, nameserver);
    let commands: Vec<Vec<String>> = layout
        .members
        .iter()
        .map(|place| arguments_of(place, nameserver))
        .collect::<Result<_, _>>()?;
    let program = wiring.program;
    let command = Arc::new(move |place: &Place| {
        let mut command = std::process::Command::new(&program);
        command.args(commands.get(usize::from(place.ordinal)).into_iter().flatten());
        command
    });

    let (stop, stopped) = shutdown::stage();
    let (kill, killed) = shutdown::stage();
    let mut signals = JoinSet::new();
    signals.spawn(async move {
        requests.next().await;
        stop.pull();
        let first = Instant::now();
        requests.next().await;
        while repeats(first) {
            requests.next().await;
        }
        kill.pull();
        // Dropping them would pull them as well: nothing else to do with them.
        std::future::pending::<()>().await;
    });
    let ended = supervisor.run(command, output, stopped, killed).await;
    signals.shutdown().await;
    ended
}

/// One member's command line after the program's name. `lease_directory` is none when the lease is elsewhere.
fn serve_arguments(
    place: &Place,
    members: usize,
    lease_directory: Option<PathBuf>,
    nameserver: SocketAddr,
    passed: &[String],
) -> Result<Vec<String>, ClusterError> {
    let path = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| {
            ClusterError::Arguments(format!("--data-dir {path:?} is not UTF-8: give another directory"))
        })
    };
    let listen = |port: u16| ListenAddress::Localhost(port).to_string();
    let mut options = vec![
        ("--pod-name", place.name.clone()),
        ("--data-dir", path(place.volume.clone())?),
        ("--public-listen", listen(place.public_port)),
        ("--peer-listen", listen(place.peer_port())),
        ("--admin-listen", listen(place.admin_port())),
        ("--metrics-listen", listen(place.metrics_port())),
        ("--discovery-name", SERVICE.to_owned()),
        ("--discovery-nameserver", nameserver.to_string()),
    ];
    if let Some(directory) = lease_directory {
        options.push(("--lease-directory", path(directory)?));
    }
    options.push(("--voters", members.to_string()));
    let mut passed_options = passed
        .iter()
        .map(|argument| argument.split('=').next().unwrap_or_default());
    if let Some(option) = passed_options.find(|passed| options.iter().any(|(own, _)| own == passed)) {
        let line = format!("`cluster` sets {option} for each member itself: leave it out");
        return Err(ClusterError::Arguments(line));
    }
    let mut arguments = vec!["serve".to_owned()];
    arguments.extend(
        options
            .into_iter()
            .flat_map(|(option, value)| [option.to_owned(), value]),
    );
    arguments.push("--stop-with-parent".to_owned());
    arguments.extend(passed.iter().cloned());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_member_gets_all_that_makes_it_one() {
        let layout = Layout::new(SET, 2, 8080, Path::new("d")).unwrap();
        let passed = ["--lease-duration".to_owned(), "2s".to_owned()];
        let place = &layout.members[1];
        let nameserver = "127.0.0.1:5353".parse().unwrap();
        let line = serve_arguments(place, 2, Some(layout.lease_directory()), nameserver, &passed).unwrap();
        assert_eq!(
            line.join(" "),
            "serve --pod-name rg-1 --data-dir d/rg-1 --public-listen localhost:8090 --peer-listen localhost:8091 \
             --admin-listen localhost:8092 --metrics-listen localhost:8093 \
             --discovery-name rg.default.svc.cluster.local --discovery-nameserver 127.0.0.1:5353 \
             --lease-directory d/lease --voters 2 --stop-with-parent --lease-duration 2s"
        );
        let line = serve_arguments(place, 2, None, nameserver, &passed).unwrap();
        assert!(
            !line.contains(&"--lease-directory".to_owned()),
            "the Lease is elsewhere: {line:?}"
        );
    }
}

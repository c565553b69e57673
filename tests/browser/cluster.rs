//! The set that `make run` starts, whose members are started again at once when they end.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use random_generator::clock::Clock;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::card;
use crate::harness::{ask, free_base, program};
use crate::page::{Page, WIDE};
use crate::waiting::until;
use crate::watching::{SEEN_WITHIN, takes};

const LEASE: Duration = Duration::from_secs(5);

struct Cluster {
    process: Child,
    directory: TempDir,
    base: u16,
}

impl Cluster {
    /// Three members, which draw.
    fn start() -> Cluster {
        for _ in 0..20 {
            let (directory, base) = (tempfile::tempdir().unwrap(), free_base());
            let mut process = program()
                .args([
                    "cluster",
                    "--members",
                    "3",
                    "--draw-schedule",
                    "@every 1s",
                    "--lease-duration",
                    "5s",
                ])
                .args(["--base-port", &base.to_string(), "--data-dir"])
                .arg(directory.path().join("data"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let drawn = until("draws, or the end for a port that is taken", || {
                let ended = process.try_wait().unwrap().is_some();
                let drawn = ask(base, "GET", "/draws/2", &[], b"").is_ok_and(|reply| reply.status == 200);
                (ended || drawn).then_some(!ended)
            });
            if drawn {
                return Cluster {
                    process,
                    directory,
                    base,
                };
            }
        }
        panic!("no free ports");
    }

    fn holder(&self) -> u16 {
        until("a holder", || {
            let leader = ask(self.base, "GET", "/leader", &[], b"").ok()?.json();
            leader["member"].as_str()?.rsplit('-').next()?.parse().ok()
        })
    }

    fn kill(&self, ordinal: u16) {
        let file: PathBuf = self.directory.path().join(format!("data/rg-{ordinal}.pid"));
        let pid = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    }
}

impl Drop for Cluster {
    /// It stops its members before it ends.
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

#[test]
fn a_holder_that_is_killed_and_started_again_at_once_is_seen_to_be_gone_and_then_who_leads() {
    let cluster = Cluster::start();
    let holder = cluster.holder();
    let asked = (holder + 1) % 3;
    let page = Page::open(&format!("http://127.0.0.1:{}/", cluster.base + 10 * asked), WIDE);
    let name = format!("rg-{holder}");
    until("the leader is shown", || {
        card(&page, &name).contains("leads").then_some(())
    });
    let clock = Clock::system();
    let killed = clock.boot();
    cluster.kill(holder);
    let gone = takes("who is gone", || {
        let events = page.text("#events");
        events.contains(&format!("{name} was gone")) || events.contains(&format!("{name} is gone"))
    });
    assert!(gone <= SEEN_WITHIN, "only after {gone:?}");
    page.until_text("#events", &format!("nobody leads: {name} did; its lease runs out in "));
    // It runs again, and the lease of its last process runs out.
    until("its old lease", || {
        card(&page, &name).contains("lost the lead").then_some(())
    });
    takes("who leads", || page.text("#events").contains(" leads, fence 2"));
    let led = clock.boot().since(killed);
    assert!(led <= LEASE + SEEN_WITHIN, "only after {led:?}");
    page.until(
        "and a card says so",
        "document.querySelectorAll('#members .badge.leads').length === 1",
    );
    assert_eq!(page.complaints(), [""; 0]);
}

//! An hour of full load, compressed, onto a volume of 10 MiB: journal and ledger keep within their shares, and nothing needs
//! a hand.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use random_generator::clock::Clock;
use random_generator::identity::{Facts, Identity, Volume};
use random_generator::journal::{self, default_max_bytes};
use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::chain::{check_verified, number};
use crate::harness::{Http, PATIENCE, asked, directory, eventually, turn};
use crate::load::{Load, Source, rows};
use crate::small_disk::SmallDisk;

/// `--ledger-max` by default.
const LEDGER_SHARE: u64 = 1_536 * 1024;
/// As many clients as it takes to keep a member busy.
const CLIENTS: usize = 16;

/// One `serve` over a volume. Dropped, it is ended.
struct Member {
    child: Child,
    url: String,
    http: Http,
}

impl Member {
    async fn start(volume: &Path, log: &Path) -> Member {
        let held: Vec<TcpListener> = (0..4).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address: Vec<String> = held.iter().map(|port| port.local_addr().unwrap().to_string()).collect();
        drop(held);
        let mut command = Command::new(env!("CARGO_BIN_EXE_random-generator"));
        command
            .args(["serve", "--draw-schedule", "@every 1s", "--data-dir"])
            .arg(volume);
        for (which, address) in ["--public-listen", "--peer-listen", "--admin-listen", "--metrics-listen"]
            .iter()
            .zip(&address)
        {
            command.args([which, address.as_str()]);
        }
        let child = command
            .stdin(Stdio::null())
            .stderr(fs::File::create(log).unwrap())
            .spawn()
            .unwrap();
        let member = Member {
            child,
            url: format!("http://{}", address[0]),
            http: Http::new(),
        };
        member.wants_for_nothing().await;
        member
    }

    async fn json(&self, path: &str) -> Option<Value> {
        let (_, body) = self.http.get(&format!("{}{path}", self.url), None).await?;
        serde_json::from_slice(&body).ok()
    }

    async fn wants_for_nothing(&self) {
        eventually("a member that draws and is not degraded", async || {
            self.json("/draws/latest").await?;
            let status = self.json("/readyz").await?;
            (status["ready"] == true && status["degraded"] == json!([])).then_some(())
        })
        .await;
    }

    async fn stop(&mut self) {
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = eventually("its end", async || self.child.try_wait().unwrap()).await;
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes of the files whose names begin so.
fn bytes(volume: &Path, prefix: &str) -> u64 {
    let files = fs::read_dir(volume).unwrap().map(|entry| entry.unwrap());
    let of_it = files.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    // A file may go between the two looks.
    of_it
        .filter_map(|entry| entry.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

/// What the journal may take of this volume.
fn journal_share(volume: &Path) -> u64 {
    let volume = Volume::claim(volume, &Identity::new(Facts::default()).unwrap(), &Clock::system()).unwrap();
    let share = default_max_bytes(&volume).unwrap();
    assert_eq!(share, volume.space().unwrap().total / 10 * 6);
    share
}

/// Whether the first row still stands.
fn has_room(journal: &Path) -> bool {
    journal::read(journal, 0, 1)
        .unwrap()
        .first()
        .is_none_or(|row| row.id == 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn full_load_on_a_small_volume_keeps_within_its_shares_and_needs_no_hand() {
    let _turn = turn().await;
    let disk = SmallDisk::new(10);
    let volume = disk.path();
    let share = journal_share(&volume);
    let beside = directory();
    let mut member = Member::start(&volume, &beside.path().join("log")).await;
    let load = Load::start(&[member.url.clone()], CLIENTS);
    let duration = Duration::from_secs(asked("RANDOM_GENERATOR_TRIAL_LOAD_SECONDS", 10));
    let began = Instant::now();
    let (mut journal, mut ledger) = (0, 0);
    // And until rows had to go, however slow the machine is.
    while began.elapsed() < duration || has_room(&volume.join("journal.db")) {
        assert!(began.elapsed() < duration + PATIENCE, "it never got full");
        journal = bytes(&volume, "journal").max(journal);
        ledger = bytes(&volume, "ledger").max(ledger);
        assert!(journal <= share, "the journal takes {journal} of {share} bytes");
        assert!(
            ledger <= LEDGER_SHARE,
            "the ledger takes {ledger} of {LEDGER_SHARE} bytes"
        );
        // Too busy to answer in time is no trouble of the volume.
        if let Some(status) = member.json("/readyz").await {
            let mut told = status["degraded"].as_array().unwrap().iter();
            // A busy machine may cost a slot; the volume may cost nothing.
            assert!(
                status["ready"] == true && told.all(|told| told["source"] == "draw"),
                "{status}"
            );
        }
        sleep(Duration::from_millis(50)).await;
    }
    let acknowledged = load.stop().await;
    member.wants_for_nothing().await;
    let latest = member.json("/draws/latest").await.unwrap();
    let rounds = number(&latest, "round");
    assert!(rounds >= duration.as_secs() / 4, "{rounds} draws");
    check_verified(&member.http, &member.url).await;
    member.stop().await;

    let path = volume.join("journal.db");
    let kept = rows(&path);
    let written = kept.last().unwrap().id;
    eprintln!(
        "{written} rows in {duration:?}, {} of them kept; journal at most {journal} of {share} bytes, ledger {ledger} of {LEDGER_SHARE}; {rounds} draws",
        kept.len()
    );
    assert!(kept[0].id > 1, "it was never full: {written} rows");
    acknowledged.check_journals(&[Source {
        name: "rg-0".to_owned(),
        journal: path,
    }]);
    // Filled to its share, it starts again as it is.
    let mut member = Member::start(&volume, &beside.path().join("log")).await;
    assert!(member.json("/").await.unwrap()["random"].is_i64());
    member.stop().await;
}

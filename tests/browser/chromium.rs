//! A headless Chromium, and its DevTools protocol over a pipe: JSON messages that end with NUL, on its descriptors 3 and 4
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::waiting::PATIENCE;

/// Nothing of the network but the pages, no first-run pages, no process that outlives it.
const QUIET: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];
/// Its own descriptors 3 and 4 are our pipes, and what it prints is not.
const ON_PIPES: &str = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2";

#[derive(Default)]
struct Heard {
    waiting: HashMap<u64, Sender<Value>>,
    events: Vec<Value>,
}

pub struct Chromium {
    process: Child,
    commands: Mutex<(u64, ChildStdin)>,
    heard: Arc<Mutex<Heard>>,
    reader: Option<JoinHandle<()>>,
    _profile: TempDir,
}

impl Chromium {
    pub fn start(more: &[&str]) -> Arc<Chromium> {
        let profile = tempfile::tempdir().unwrap();
        let mut process = Command::new("sh")
            .args(["-c", ON_PIPES, "sh", "chromium"])
            .args(QUIET)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(more)
            .arg("about:blank")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = Mutex::new((0, process.stdin.take().unwrap()));
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        let shared = heard.clone();
        let reader = std::thread::spawn(move || {
            let mut message = Vec::new();
            while let Ok(1..) = answers.read_until(0, &mut message) {
                let said: Value = serde_json::from_slice(message.strip_suffix(&[0]).unwrap_or(&message)).unwrap();
                message.clear();
                let mut heard = shared.lock().unwrap();
                match said["id"].as_u64().and_then(|id| heard.waiting.remove(&id)) {
                    // Who asked may have given up.
                    Some(asker) => drop(asker.send(said)),
                    None => heard.events.push(said),
                }
            }
            // Whoever waits for an answer is not left waiting.
            shared.lock().unwrap().waiting.clear();
        });
        Arc::new(Chromium {
            process,
            commands,
            heard,
            reader: Some(reader),
            _profile: profile,
        })
    }

    /// The result of a command, to the browser or to one of its sessions.
    pub fn ask(&self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        let (asker, answer) = channel();
        let mut message = json!({"method": method, "params": parameters});
        if let Some(session) = session {
            message["sessionId"] = session.into();
        }
        {
            let (last, commands) = &mut *self.commands.lock().unwrap();
            *last += 1;
            message["id"] = (*last).into();
            self.heard.lock().unwrap().waiting.insert(*last, asker);
            commands
                .write_all(format!("{message}\0").as_bytes())
                .expect("is chromium installed? it ended");
        }
        let said = answer
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("{method}: no answer, is chromium installed?"));
        assert!(said["error"].is_null(), "{method}: {said}");
        said["result"].clone()
    }

    /// Events of a session so far, in order: method and parameters.
    pub fn events(&self, session: &str) -> Vec<(String, Value)> {
        let heard = self.heard.lock().unwrap();
        let ours = heard.events.iter().filter(|event| event["sessionId"] == session);
        ours.map(|event| (event["method"].as_str().unwrap().to_owned(), event["params"].clone()))
            .collect()
    }
}

impl Drop for Chromium {
    /// Ends it by its own process, which ends those that it started.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

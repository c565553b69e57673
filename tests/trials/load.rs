//! Clients that take numbers from every member without pause and remember what was acknowledged, and the check that all
//! of it is in the journals and nothing came twice.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use axum::http::StatusCode;
use random_generator::journal::{self, MAX_PAGE, Row};
use random_generator::shutdown::{self, Signal, Trigger};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Duration, sleep};

use crate::harness::Http;

/// Ids in one request.
const IDS: usize = 4;
/// A member that is down refuses at once.
const REFUSED: Duration = Duration::from_millis(20);

/// What one client was given, in order: it sends one request after another.
#[derive(Debug)]
struct Given {
    member: usize,
    /// Begins each of its request ids.
    client: String,
    /// The number of the request, and the value of `/`.
    values: Vec<(u64, i64)>,
    ids: Vec<u64>,
    answers: u64,
}

/// Clients at work.
#[derive(Debug)]
pub struct Load {
    stop: Trigger,
    clients: JoinSet<Given>,
}

impl Load {
    /// On each member so many clients take `/`, as many ids and as many integers, each over a connection that is kept alive.
    pub fn start(urls: &[String], each: usize) -> Load {
        let (stop, stopping) = shutdown::stage();
        let mut clients = JoinSet::new();
        for (member, url) in urls.iter().enumerate() {
            for path in ["/", "/ids", "/integers"] {
                for n in 0..each {
                    let name = format!("trial-{member}{path}-{n}-");
                    clients.spawn(client(url.clone(), member, path, name, stopping.clone()));
                }
            }
        }
        Load { stop, clients }
    }

    /// Stops the clients. No id came twice; what was acknowledged is to be checked with the journals.
    pub async fn stop(self) -> Acknowledged {
        self.stop.pull();
        let given = self.clients.join_all().await;
        let mut ids: Vec<u64> = given.iter().flat_map(|given| given.ids.iter().copied()).collect();
        ids.sort_unstable();
        if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
            panic!("id {} was given out twice", twice[0]);
        }
        let answers: u64 = given.iter().map(|given| given.answers).sum();
        let values: usize = given.iter().map(|given| given.values.len()).sum();
        assert!(!ids.is_empty() && values > 0, "no load");
        eprintln!("{answers} answers: {values} values, {} ids", ids.len());
        Acknowledged { given }
    }
}

async fn client(url: String, member: usize, path: &'static str, client: String, stopping: Signal) -> Given {
    let http = Http::new();
    let mut given = Given {
        member,
        client,
        values: Vec::new(),
        ids: Vec::new(),
        answers: 0,
    };
    let query = match path {
        "/ids" => format!("?count={IDS}"),
        "/integers" => "?min=1&max=6&count=10".to_owned(),
        _ => String::new(),
    };
    let url = format!("{url}{path}{query}");
    let mut number = 0;
    while !stopping.is_requested() {
        number += 1;
        let id = format!("{}{number}", given.client);
        match http.get(&url, Some(&id)).await {
            Some((StatusCode::OK, body)) => {
                given.answers += 1;
                let answer: Value = serde_json::from_slice(&body).unwrap();
                match path {
                    "/" => given.values.push((number, answer["random"].as_i64().unwrap())),
                    "/ids" => given.ids.extend(ids(&answer)),
                    _ => {}
                }
            }
            // A member on its way down or up says 503.
            Some((status, body)) => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body:?}");
                sleep(REFUSED).await;
            }
            None => sleep(REFUSED).await,
        }
    }
    given
}

fn ids(answer: &Value) -> Vec<u64> {
    let ids = answer["values"].as_array().unwrap().iter();
    ids.map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

/// A member's journal, in the order of the members that the load was put on.
#[derive(Debug)]
pub struct Source {
    pub name: String,
    pub journal: PathBuf,
}

/// What members gave out and said 200 to.
#[derive(Debug)]
pub struct Acknowledged {
    given: Vec<Given>,
}

impl Acknowledged {
    /// Every value is in the journal of its member. A journal that is full has lost its oldest rows: then what is
    /// absent is the beginning of what a client was given, never one after another that is there.
    pub fn check_journals(&self, members: &[Source]) {
        for (member, source) in members.iter().enumerate() {
            let rows = rows(&source.journal);
            let complete = rows.first().is_some_and(|row| row.id == 1);
            let journalled: HashMap<&str, Option<i64>> =
                rows.iter().map(|row| (row.request.as_str(), row.value)).collect();
            assert_eq!(journalled.len(), rows.len(), "a request was journalled twice");
            let mut kept = 0;
            for given in self.given.iter().filter(|given| given.member == member) {
                let before = kept;
                for (number, value) in &given.values {
                    let request = format!("{}{number}", given.client);
                    match journalled.get(request.as_str()) {
                        Some(row) => {
                            assert_eq!(*row, Some(*value), "{request}");
                            kept += 1;
                        }
                        None => assert!(
                            !complete && kept == before,
                            "{request} was acknowledged and isn't in the journal of {}",
                            source.name
                        ),
                    }
                }
            }
            eprintln!("{}: {} rows, {kept} values found", source.name, rows.len());
        }
    }
}

/// All rows, ascending.
pub fn rows(path: &Path) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    loop {
        let page = journal::read(path, rows.last().map_or(0, |row| row.id + 1), MAX_PAGE).unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend(page);
    }
}

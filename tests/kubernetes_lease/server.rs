//! An API server with one Lease, over real HTTP: optimistic concurrency, watches with bookmarks, and faults on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

// Other tests include this file by its path, so the path is said here too.
#[path = "wire.rs"]
mod wire;

use wire::{Request, chunk, flood, request, send, send_text};

pub const ITEM: &str = "/apis/coordination.k8s.io/v1/namespaces/lab/leases/random-generator";

#[derive(Clone, Debug)]
pub enum Fault {
    /// Answers so, and does nothing.
    Status(u16, &'static str),
    /// 429, with Retry-After in seconds.
    Busy(u64),
    /// 404 in plain text, as a web server that knows nothing of Leases.
    NoApi,
    /// 200 with a page of HTML, as a proxy that wants a login answers.
    Page,
    /// Never answers; does nothing.
    HangBefore,
    /// Does it, and never answers.
    HangAfter,
    /// Does it, and says that it failed.
    FailAfter,
    /// Does it, and closes in the midst of the answer.
    CutAfter,
    /// Closes without an answer; does nothing.
    Close,
    /// A watch that is answered with an event of type ERROR, code 410.
    Expired,
    /// Answers with this status and one line that never ends.
    Endless(u16),
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub verb: &'static str,
    pub target: String,
    pub authorization: Option<String>,
    /// Which connection it came by.
    pub connection: u64,
    pub body: Vec<u8>,
}

#[derive(Default)]
struct World {
    lease: Option<Value>,
    version: u64,
    /// Type and object, by version.
    history: Vec<(u64, &'static str, Value)>,
    once: HashMap<&'static str, Vec<Fault>>,
    always: HashMap<&'static str, Fault>,
    seen: Vec<Seen>,
    /// Watches send nothing any more, not even an end.
    mute: bool,
    bookmarks: u64,
    /// The version of the newest one that a watch has written.
    marked: u64,
    connections: u64,
    /// Bytes of the endless lines whose client has closed the connection.
    flooded: Vec<usize>,
}

#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
    /// Counts up when all connections are to be closed.
    closed: watch::Sender<u64>,
    _running: Arc<JoinSet<()>>,
}

impl Server {
    pub async fn start() -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut running = JoinSet::new();
        let world = Arc::new(Mutex::new(World::default()));
        let (changed, closed) = (watch::Sender::new(0), watch::Sender::new(0));
        let address = listener.local_addr().unwrap();
        let serving = Serving {
            world: Arc::clone(&world),
            changed: changed.clone(),
            closed: closed.clone(),
        };
        running.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let serving = serving.clone();
                connections.spawn(async move { serving.connection(stream).await });
            }
        });
        Server {
            address,
            world,
            changed,
            closed,
            _running: Arc::new(running),
        }
    }

    fn world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let done = act(&mut self.world.lock().unwrap());
        self.changed.send_modify(|count| *count += 1);
        done
    }

    /// As `kubectl create` makes it, with what others put there.
    pub fn create(&self, uid: &str) {
        self.world(|world| {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": "random-generator", "namespace": "lab", "uid": uid,
                    "labels": {"app": "rg"},
                    "annotations": {"example.com/note": "keep me"},
                    "finalizers": ["example.com/hold"],
                    "managedFields": [{"manager": "kubectl", "operation": "Update"}],
                },
                "spec": {"strategy": "OldestEmulationVersion"},
            });
            world.put("ADDED", lease);
        });
    }

    /// As another client would, `change` being made to the object.
    pub fn edit(&self, change: impl FnOnce(&mut Value)) {
        self.world(|world| {
            let mut lease = world.lease.clone().unwrap();
            change(&mut lease);
            world.put("MODIFIED", lease);
        });
    }

    pub fn delete(&self) {
        self.world(|world| {
            world.version += 1;
            let mut gone = world.lease.take().unwrap();
            gone["metadata"]["resourceVersion"] = json!(world.version.to_string());
            world.history.push((world.version, "DELETED", gone));
        });
    }

    pub fn lease(&self) -> Option<Value> {
        self.world(|world| world.lease.clone())
    }

    pub fn version(&self) -> u64 {
        self.world(|world| world.version)
    }

    /// Of the next request of this verb (GET, PUT, WATCH).
    pub fn once(&self, verb: &'static str, fault: Fault) {
        self.world(|world| world.once.entry(verb).or_default().push(fault));
    }

    pub fn always(&self, verb: &'static str, fault: Option<Fault>) {
        self.world(|world| match fault {
            Some(fault) => drop(world.always.insert(verb, fault)),
            None => drop(world.always.remove(verb)),
        });
    }

    pub fn mute(&self, mute: bool) {
        self.world(|world| world.mute = mute);
    }

    /// Sends a bookmark to every watch, of a version that this Lease never had.
    pub fn bookmark(&self) -> u64 {
        self.world(|world| {
            world.version += 1;
            world.bookmarks += 1;
            world.version
        })
    }

    /// Whether a watch has written the bookmark of this version.
    pub fn has_marked(&self, version: u64) -> bool {
        self.world.lock().unwrap().marked == version
    }

    pub fn close_connections(&self) {
        self.closed.send_modify(|count| *count += 1);
    }

    /// How much each client took of an endless line before it closed the connection.
    pub fn flooded(&self) -> Vec<usize> {
        self.world.lock().unwrap().flooded.clone()
    }

    pub fn seen(&self, verb: &str) -> Vec<Seen> {
        let all = self.world.lock().unwrap().seen.clone();
        all.into_iter().filter(|seen| seen.verb == verb).collect()
    }

    pub fn requests(&self) -> usize {
        self.world.lock().unwrap().seen.len()
    }
}

impl World {
    fn put(&mut self, kind: &'static str, mut lease: Value) {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.history.push((self.version, kind, lease.clone()));
        self.lease = Some(lease);
    }

    /// Status and body, as the API server of Kubernetes decides on a PUT.
    fn replace(&mut self, body: &[u8]) -> (u16, Value) {
        let wanted: Value = serde_json::from_slice(body).unwrap();
        let field = |object: &Value, key: &str| object["metadata"][key].as_str().map(str::to_owned);
        match &self.lease {
            None if field(&wanted, "uid").is_some() => (409, status(409, "Precondition failed: UID in precondition")),
            // What a PUT without a uid does on a Lease that was deleted.
            None => {
                self.put("ADDED", wanted);
                (201, self.lease.clone().unwrap())
            }
            Some(lease) if field(lease, "uid") != field(&wanted, "uid") => (409, status(409, "another uid")),
            Some(lease) if field(lease, "resourceVersion") != field(&wanted, "resourceVersion") => {
                (409, status(409, "the object has been modified"))
            }
            Some(_) => {
                self.put("MODIFIED", wanted);
                (200, self.lease.clone().unwrap())
            }
        }
    }
}

#[derive(Clone)]
struct Serving {
    world: Arc<Mutex<World>>,
    changed: watch::Sender<u64>,
    closed: watch::Sender<u64>,
}

impl Serving {
    async fn connection(self, mut stream: TcpStream) {
        let connection = {
            let mut world = self.world.lock().unwrap();
            world.connections += 1;
            world.connections
        };
        let mut closed = self.closed.subscribe();
        let serving = async {
            let mut arrived = Vec::new();
            while let Some(request) = request(&mut stream, &mut arrived).await {
                if !self.answer(&mut stream, request, connection).await {
                    return;
                }
            }
        };
        tokio::select! {
            biased;
            _ = closed.changed() => {}
            () = serving => {}
        }
    }

    /// False when the connection ends with it.
    async fn answer(&self, stream: &mut TcpStream, request: Request, connection: u64) -> bool {
        let verb = match (request.method.as_str(), request.target.contains("watch=true")) {
            ("GET", true) => "WATCH",
            ("GET", false) => "GET",
            ("PUT", _) => "PUT",
            (other, _) => panic!("nobody may {other}"),
        };
        let (fault, bookmarks) = {
            let mut world = self.world.lock().unwrap();
            world.seen.push(Seen {
                verb,
                target: request.target.clone(),
                authorization: request.authorization,
                connection,
                body: request.body.clone(),
            });
            let once = world.once.get_mut(verb).filter(|faults| !faults.is_empty());
            let fault = once
                .map(|faults| faults.remove(0))
                .or_else(|| world.always.get(verb).cloned());
            // Whoever finds this request in what was seen may count on a watch that has every bookmark from then on.
            (fault, world.bookmarks)
        };
        match &fault {
            Some(Fault::Status(code, message)) => return send(stream, *code, "", &status(*code, message)).await,
            Some(Fault::Busy(seconds)) => {
                let header = format!("Retry-After: {seconds}\r\n");
                return send(stream, 429, &header, &status(429, "too many requests")).await;
            }
            Some(Fault::NoApi) => return send_text(stream, 404, "", "404 page not found").await,
            Some(Fault::Page) => return send_text(stream, 200, "", "<html>log in</html>").await,
            Some(Fault::HangBefore) => return std::future::pending().await,
            Some(Fault::Close) => return false,
            Some(Fault::Endless(code)) => {
                let taken = flood(stream, *code).await;
                self.world.lock().unwrap().flooded.push(taken);
                return false;
            }
            _ => {}
        }
        if verb == "WATCH" {
            let expired = matches!(fault, Some(Fault::Expired));
            return self.watch(stream, &request.target, bookmarks, expired).await;
        }
        // kube ends the path of a PUT with an empty query.
        assert_eq!(request.target.strip_suffix('?').unwrap_or(&request.target), ITEM);
        let (code, body) = {
            let mut world = self.world.lock().unwrap();
            match (verb, &world.lease) {
                ("PUT", _) => world.replace(&request.body),
                (_, Some(lease)) => (200, lease.clone()),
                (_, None) => (
                    404,
                    status(404, "leases.coordination.k8s.io \"random-generator\" not found"),
                ),
            }
        };
        self.changed.send_modify(|count| *count += 1);
        match fault {
            Some(Fault::HangAfter) => std::future::pending().await,
            Some(Fault::FailAfter) => send(stream, 500, "", &status(500, "etcdserver: request timed out")).await,
            Some(Fault::CutAfter) => {
                let body = body.to_string();
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                let half = &body[..body.len() / 2];
                let _ = stream.write_all(format!("{head}{half}").as_bytes()).await;
                false
            }
            _ => send(stream, code, "", &body).await,
        }
    }

    async fn watch(&self, stream: &mut TcpStream, target: &str, mut bookmarks: u64, expired: bool) -> bool {
        assert!(
            target.contains("fieldSelector=metadata.name%3Drandom-generator"),
            "{target}"
        );
        assert!(target.contains("allowWatchBookmarks=true"), "{target}");
        let from = target.rsplit_once("resourceVersion=").unwrap().1;
        let mut told: u64 = from.parse().unwrap();
        let mut changed = self.changed.subscribe();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
        if stream.write_all(head.as_bytes()).await.is_err() {
            return false;
        }
        if expired {
            let _ = chunk(
                stream,
                &json!({"type": "ERROR", "object": status(410, "too old resource version")}),
            )
            .await;
            let _ = stream.write_all(b"0\r\n\r\n").await;
            return true;
        }
        if told == 0 {
            // The present state first.
            let lease = {
                let world = self.world.lock().unwrap();
                told = world.version;
                world.lease.clone()
            };
            if let Some(lease) = lease
                && chunk(stream, &json!({"type": "ADDED", "object": lease})).await.is_err()
            {
                return false;
            }
        }
        loop {
            let mut events = Vec::new();
            {
                let world = self.world.lock().unwrap();
                if !world.mute {
                    for (_, kind, object) in world.history.iter().filter(|(version, ..)| *version > told) {
                        events.push(json!({"type": kind, "object": object}));
                    }
                    told = told.max(world.history.last().map_or(0, |(version, ..)| *version));
                    if world.bookmarks > bookmarks {
                        bookmarks = world.bookmarks;
                        told = world.version;
                        let metadata = json!({"resourceVersion": told.to_string()});
                        let lease = json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1", "metadata": metadata, "spec": {}});
                        events.push(json!({"type": "BOOKMARK", "object": lease}));
                    }
                }
            }
            for event in events {
                if chunk(stream, &event).await.is_err() {
                    return false;
                }
                if event["type"] == "BOOKMARK" {
                    self.world.lock().unwrap().marked = told;
                }
            }
            if changed.changed().await.is_err() {
                return false;
            }
        }
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
}

/// A listener that takes connections and never says a word, as a frozen API server's kernel does.
pub async fn frozen() -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = JoinSet::new();
    held.spawn(async move {
        let mut streams = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            streams.push(stream);
        }
        std::future::pending::<()>().await;
    });
    (address, held)
}

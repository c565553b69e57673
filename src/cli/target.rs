//! Which member a command asks, and how. Every request is bounded in time and in size. A failure is worth another try, unless a
//! function says otherwise.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri, header};
use serde::de::DeserializeOwned;

use super::console::{Colour, Console};
use super::failure::one_line;
use super::{Exit, Failure};
use crate::client::{Client, ClientError, Limits};
use crate::config::NameserverArgs;
use crate::discovery::service::{PublicListener, public_listeners};
use crate::discovery::{DiscoveryConfig, Nameservers};
use crate::record::Record;

/// Of one request.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(4),
    exchange: Duration::from_secs(5),
    // More than a hundred of the largest records, and more than any batch of `get`.
    body: 16 << 20,
    idle: Duration::from_secs(30),
    repeat: false,
};

/// What the user names: one member, or the Service that lists them.
#[derive(Clone, Debug)]
pub enum Target {
    Member(Box<Member>),
    Service(String),
}

/// A member by the URL of its public listener. Clones share their connections to it.
#[derive(Clone, Debug)]
pub struct Member {
    /// `http://HOST:PORT`, or https.
    url: String,
    /// Where to connect, for a member that a Service lists; the URL has the first of these. Empty for a URL that the user gave.
    addresses: Vec<SocketAddr>,
    client: Client,
}

impl PartialEq for Member {
    fn eq(&self, other: &Member) -> bool {
        self.url == other.url && self.addresses == other.addresses
    }
}

/// Finds the public listeners of a Service. Bounded in time; the error is text for the user.
pub type Resolve = dyn Fn(String) -> BoxFuture<'static, Result<Vec<PublicListener>, String>>;

/// Asks these DNS servers.
pub(super) fn resolver(nameservers: &NameserverArgs) -> Box<Resolve> {
    let nameservers = Nameservers::from(nameservers.discovery_nameserver.clone());
    Box::new(move |service| {
        let nameservers = nameservers.clone();
        Box::pin(async move { public_listeners(&service, &nameservers, DiscoveryConfig::TIMEOUT).await })
    })
}

/// The arguments of commands that ask one member.
#[derive(Debug, clap::Args)]
pub struct OneMember {
    /// Public listener of a member, or srv://SERVICE for the first member of that Service that answers
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8080")]
    target: Target,
    /// Write the member's JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    nameservers: NameserverArgs,
    #[command(flatten)]
    pub(super) colour: Colour,
}

impl OneMember {
    /// Writes the answer of one path: as it is with --json, else as `show` says.
    pub(super) async fn run<T: DeserializeOwned>(
        &self,
        path: &str,
        console: &mut Console<'_>,
        show: impl FnOnce(&Console<'_>, T) -> String,
    ) -> Result<(), Failure> {
        let target = std::slice::from_ref(&self.target);
        let member = first_that_answers(target, &*resolver(&self.nameservers)).await?;
        let (json, answer) = member.get_json(path).await?;
        let text = if self.json { json + "\n" } else { show(console, answer) };
        console.put(&text).map(|_| ())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(
        "expected the URL of a member's public listener, http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:8080, or \
         srv://SERVICE, such as srv://rg.default.svc.cluster.local"
    )]
    Form,
    #[error("expected a URL: write {0}")]
    NoScheme(String),
}

/// The URL that someone meant who wrote `HOST:PORT`, or that and a path.
pub(super) fn with_scheme(text: &str) -> Option<String> {
    let authority = text.split('/').next()?;
    let url = format!("http://{authority}");
    url.parse::<Uri>().ok()?.port()?;
    url.parse::<Member>().ok().map(|member| member.url)
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        // Schemes and hosts are the same in upper case (RFC 3986, 3.1 and 3.2.2).
        let service = text
            .split_once("://")
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("srv"));
        let Some((_, service)) = service else {
            return text.parse().map(|member| Target::Member(Box::new(member)));
        };
        let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if service.is_empty() || !service.bytes().all(in_name) {
            return Err(TargetError::Form);
        }
        Ok(Target::Service(service.to_owned()))
    }
}

impl Target {
    /// All its members.
    pub(super) async fn members(&self, resolve: &Resolve) -> Result<Vec<Member>, Failure> {
        let service = match self {
            Target::Member(member) => return Ok(vec![Member::clone(member)]),
            Target::Service(service) => service,
        };
        let failed = |reason: String| Failure::new(Exit::TryAgain, format!("srv://{service}: {reason}"));
        let found = resolve(service.clone()).await.map_err(failed)?;
        if found.is_empty() {
            return Err(failed("it has no members now".into()));
        }
        Ok(found.into_iter().map(Member::from).collect())
    }
}

/// The members that all targets name, each once.
pub(super) async fn all_members(targets: &[Target], resolve: &Resolve) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    for target in targets {
        for member in target.members(resolve).await? {
            if !members.iter().any(|known: &Member| known.url == member.url) {
                members.push(member);
            }
        }
    }
    Ok(members)
}

/// The first of all members that answers; if none does, the last one, whose failure the command reports.
pub(super) async fn first_that_answers(targets: &[Target], resolve: &Resolve) -> Result<Member, Failure> {
    let mut members = all_members(targets, resolve).await?;
    let Some(last) = members.pop() else {
        return Err(Failure::new(Exit::TryAgain, "it has no members now"));
    };
    for member in members {
        if member.ask("/livez", "application/json").await.is_ok() {
            return Ok(member);
        }
    }
    Ok(last)
}

impl FromStr for Member {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Member, TargetError> {
        let wrong = || match text.contains("://") {
            true => TargetError::Form,
            false => with_scheme(text).map_or(TargetError::Form, TargetError::NoScheme),
        };
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let authority = uri.authority().ok_or_else(wrong)?;
        let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"));
        let scheme = scheme.ok_or_else(wrong)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        // hyper takes a port that isn't a number for none, which would silently become 80.
        if authority.port().is_none() && authority.as_str() != authority.host() {
            return Err(wrong());
        }
        // A zone is the name of an interface, whose case counts. It begins with %25 (RFC 6874), or with % as curl and ping have it.
        let authority = match authority.as_str().split_once('%') {
            Some((address, zone)) => {
                let zone = zone
                    .strip_prefix("25")
                    .filter(|zone| !zone.starts_with(']'))
                    .unwrap_or(zone);
                format!("{}%{zone}", address.to_ascii_lowercase())
            }
            None => authority.as_str().to_ascii_lowercase(),
        };
        Ok(Member::at(format!("{scheme}://{authority}")))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// A member's answer, with any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

impl Member {
    /// GET of one path, with any status.
    pub(super) async fn ask(&self, path: &str, accept: &'static str) -> Result<Answer, Failure> {
        self.answer(Method::GET, path, accept, Bytes::new(), LIMITS.exchange)
            .await
    }

    /// POST of nothing to one path, with any status.
    pub(super) async fn post(&self, path: &str, limit: Duration) -> Result<Answer, Failure> {
        self.answer(Method::POST, path, "application/json", Bytes::new(), limit)
            .await
    }

    /// PUT of a text to one path, with any status.
    pub(super) async fn put(&self, path: &str, text: &str) -> Result<Answer, Failure> {
        let body = Bytes::copy_from_slice(text.as_bytes());
        self.answer(Method::PUT, path, "application/json", body, LIMITS.exchange)
            .await
    }

    async fn answer(
        &self,
        method: Method,
        path: &str,
        accept: &'static str,
        body: Bytes,
        limit: Duration,
    ) -> Result<Answer, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{self}{path}"))
            .header(header::ACCEPT, accept)
            .body(Full::new(body))
            .map_err(|error| Failure::new(Exit::Bug, error))?;
        let answer = self.client.within(limit).send(request).await.map_err(|error| {
            let question = match error {
                ClientError::Tls(_) => "",
                _ => "; is the member running?",
            };
            Failure::new(Exit::TryAgain, format!("{self}{path}: {error}{question}"))
        })?;
        Ok(Answer {
            status: answer.status(),
            body: answer.into_body(),
        })
    }

    /// For requests with other limits, or answers that are read as they come.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// GET of one path, which must succeed.
    pub(super) async fn get(&self, path: &str, accept: &'static str) -> Result<Bytes, Failure> {
        let answer = self.ask(path, accept).await?;
        self.require_success(path, answer)
    }

    /// The body of an answer, which must be a success.
    pub(super) fn require_success(&self, path: &str, answer: Answer) -> Result<Bytes, Failure> {
        if answer.status == StatusCode::OK {
            return Ok(answer.body);
        }
        let line = format!("{self}{path}: {}: {}", answer.status, explanation(&answer.body));
        Err(Failure::new(Exit::TryAgain, line))
    }

    /// The newest draw; none before the first.
    pub(super) async fn latest_draw(&self) -> Result<Option<Record>, Failure> {
        let path = "/draws/latest";
        let answer = self.ask(path, "application/json").await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let body = self.require_success(path, answer)?;
        self.read_json(path, &body).map(|(_, record)| Some(record))
    }

    /// GET of JSON: as the member wrote it, and as `T`.
    pub(super) async fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<(String, T), Failure> {
        let body = self.get(path, "application/json").await?;
        self.read_json(path, &body)
    }

    pub(super) fn read_json<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<(String, T), Failure> {
        let wrong = |reason: String| Failure::new(Exit::Data, format!("{self}{path}: not a member's answer: {reason}"));
        let text = std::str::from_utf8(body).map_err(|error| wrong(error.to_string()))?;
        let value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        Ok((text.trim_end().to_owned(), value))
    }

    fn at(url: String) -> Member {
        Member {
            url,
            addresses: Vec::new(),
            client: Client::new(LIMITS),
        }
    }
}

impl From<PublicListener> for Member {
    fn from(listener: PublicListener) -> Member {
        let PublicListener { authority, addresses } = listener;
        let client = match addresses.is_empty() {
            true => Client::new(LIMITS),
            false => Client::at(addresses.clone(), LIMITS),
        };
        Member {
            url: format!("http://{authority}"),
            addresses,
            client,
        }
    }
}

/// `detail` of a problem (RFC 9457), else the beginning of the body.
pub(super) fn explanation(body: &[u8]) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let detail = problem.and_then(|problem| Some(problem.get("detail")?.as_str()?.to_owned()));
    let text = detail.unwrap_or_else(|| String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned());
    one_line(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_of_host_and_port() {
        for (text, url) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://rg-0.rg", "http://rg-0.rg"),
            ("https://rg-0.rg:8443", "https://rg-0.rg:8443"),
            ("HTTP://LOCALHOST:8080", "http://localhost:8080"),
            ("http://[FE80::1%25Eth0]:8080", "http://[fe80::1%Eth0]:8080"),
            ("http://[fe80::1%eth0]:8080", "http://[fe80::1%eth0]:8080"),
            ("http://[fe80::1%25]:8080", "http://[fe80::1%25]:8080"),
        ] {
            assert_eq!(text.parse::<Member>().unwrap().to_string(), url);
        }
        for text in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://",
            "http://a:x",
            "http://a:99999",
            "http://a/draws",
            "http://u@a:1",
            "http://a?b",
            "srv://",
            "srv://a/b",
            "srv://a:53",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
        assert!(matches!("SRV://rg.example".parse(), Ok(Target::Service(name)) if name == "rg.example"));
    }

    #[test]
    fn a_host_and_port_without_a_scheme_are_answered_with_the_url() {
        for (text, url) in [
            ("localhost:8080", "http://localhost:8080"),
            ("LOCALHOST:8080/draws", "http://localhost:8080"),
            ("127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            let error = text.parse::<Target>().unwrap_err().to_string();
            assert_eq!(error, format!("expected a URL: write {url}"));
        }
        for text in ["draws.jsonl", "localhost", "a:x", "http:/a:1", ":8080", "u@a:1"] {
            assert!(matches!(text.parse::<Target>(), Err(TargetError::Form)), "{text}");
        }
    }

    #[tokio::test]
    async fn a_service_means_the_first_of_its_members_that_answers() {
        let closed: Vec<PublicListener> = (0..2)
            .map(|_| {
                let bound = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
                let address = bound.local_addr().unwrap();
                PublicListener {
                    authority: address.to_string(),
                    addresses: vec![address],
                }
            })
            .collect();
        let resolve = move |service: String| -> BoxFuture<'static, _> {
            let found = if service == "rg.example" {
                closed.clone()
            } else {
                Vec::new()
            };
            Box::pin(async move { Ok(found) })
        };
        let target: Target = "srv://rg.example".parse().unwrap();
        assert_eq!(target.members(&resolve).await.unwrap().len(), 2);
        // None answers: the command reports the last one's failure.
        let member = first_that_answers(&[target], &resolve).await.unwrap();
        assert_eq!(member.ask("/livez", "*/*").await.unwrap_err().exit, Exit::TryAgain);
        let nobody: Target = "srv://other.example".parse().unwrap();
        let failure = first_that_answers(&[nobody], &resolve).await.unwrap_err();
        assert!(failure.line.contains("it has no members now"), "{}", failure.line);
    }
}

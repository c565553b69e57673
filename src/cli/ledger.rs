//! `ledger`: asks the admin listener of a running member to mend its ledger. What restoring and restarting mean is in
//! docs/protocol.md, 3.5.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::exit::one_line;
use super::{Exit, Failure};

/// A restore walks the chain over the network; longer than this, the member's log tells how it went.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
const ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put a damaged ledger aside, begin an empty one, and fetch the chain from the peers
    Restore(Target),
    /// Begin a new chain though a majority of the voters can't be asked for theirs; the old one is kept and listed
    Restart {
        #[command(flatten)]
        target: Target,
        /// Confirm: records that only absent voters have will not be part of the new chain
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Target {
    /// Admin listener of the member
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8082")]
    admin: String,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (target, action) = match &args.action {
        Action::Restore(target) => (target, "restore"),
        Action::Restart { target, yes: true } => (target, "restart"),
        Action::Restart { yes: false, .. } => {
            return Err(Failure::new(
                Exit::Usage,
                "`ledger restart` begins a new chain: records that only absent voters have are left behind. \
                 If that is meant, repeat it with --yes; if the voters can come back, wait for them instead",
            ));
        }
    };
    let url = format!("{}/ledger/{action}", target.admin.trim_end_matches('/'));
    let uri = url
        .parse::<Uri>()
        .ok()
        .filter(|uri| uri.scheme_str() == Some("http") && uri.host().is_some())
        .ok_or_else(|| {
            let wrong = format!("--admin '{}': an http URL, such as http://127.0.0.1:8082", target.admin);
            Failure::new(Exit::Usage, wrong)
        })?;
    let answer = super::client_runtime()?.block_on(post(uri))?;
    writeln!(io::stdout().lock(), "{answer}")
        .map_err(|error| Failure::new(Exit::Io, format!("standard output: {error}")))
}

/// The member's answer in one line.
async fn post(uri: Uri) -> Result<String, Failure> {
    let unreachable = |reason: String| {
        let line = format!("{uri}: {reason}; is the member running, and is this its --admin-listen?");
        Failure::new(Exit::TryAgain, line)
    };
    let exchange = async {
        let client: Client<HttpConnector, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri.clone())
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = client.request(request).await.map_err(|error| causes(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    let (status, body) = tokio::time::timeout(ANSWER_LIMIT, exchange)
        .await
        .map_err(|_| unreachable(format!("no answer within {} s", ANSWER_LIMIT.as_secs())))?
        .map_err(unreachable)?;
    let said = summary(&body);
    if status.is_success() {
        return Ok(said);
    }
    let exit = if status.is_server_error() {
        Exit::TryAgain
    } else {
        Exit::Data
    };
    Err(Failure::new(exit, format!("{uri}: {status}: {said}")))
}

/// `detail` of a problem (RFC 9457) or of a result; else the body as it is.
fn summary(body: &[u8]) -> String {
    let said = |value: &serde_json::Value| {
        ["detail", "title"]
            .iter()
            .find_map(|name| value.get(name)?.as_str().map(str::to_owned))
    };
    let parsed = serde_json::from_slice(body).ok().and_then(|value| said(&value));
    one_line(&parsed.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned()))
}

/// hyper-util says `client error (Connect)`; what happened is among its causes.
fn causes(error: &dyn std::error::Error) -> String {
    std::iter::successors(error.source(), |error| error.source())
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

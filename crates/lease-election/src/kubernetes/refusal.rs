//! What the API server's refusals mean, in words that say how to mend them.

use hyper::StatusCode;
use serde_json::Value;

use super::exchange::Answer;
use crate::store::StoreError;

/// The Lease, as `kubectl` names it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub namespace: String,
    pub name: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lease {} in namespace {}", self.name, self.namespace)
    }
}

impl Place {
    /// What an answer that is neither a Lease, nor its absence, nor a conflict means. `verb` is that of a Role's rule.
    pub fn refusal(&self, verb: &str, answer: &Answer) -> StoreError {
        let (status, said) = (answer.status, message(answer));
        match status {
            StatusCode::UNAUTHORIZED => StoreError::Refused(format!(
                "the API server doesn't know who asks (401: {said}); check the ServiceAccount and its token, or the user in --kubeconfig"
            )),
            StatusCode::FORBIDDEN => StoreError::Refused(format!(
                "no permission to {verb} {self} (403: {said}); a Role must allow get, update and watch on leases.coordination.k8s.io named {}, and a RoleBinding give it to this ServiceAccount",
                self.name
            )),
            StatusCode::TOO_MANY_REQUESTS => {
                StoreError::Unreachable("the API server is busy and asked to wait (429)".to_owned())
            }
            _ if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => StoreError::Unreachable(format!(
                "the API server failed to {verb} {self} ({}: {said})",
                status.as_u16()
            )),
            _ => StoreError::Refused(format!(
                "the API server answered {} when asked to {verb} {self}: {said}",
                status.as_u16()
            )),
        }
    }

    /// What came with status 200 and is no Lease.
    pub fn unreadable(&self, detail: &str) -> StoreError {
        StoreError::Refused(format!("the API server's answer for {self} can't be read: {detail}"))
    }
}

/// Whether a 404 says that the Lease is absent. One that says nothing of it comes from something that is no API server.
pub(super) fn is_absence(answer: &Answer) -> bool {
    answer.status == StatusCode::NOT_FOUND && status(answer).is_some()
}

fn status(answer: &Answer) -> Option<Value> {
    let status: Value = serde_json::from_slice(&answer.body).ok()?;
    (status.get("kind")?.as_str()? == "Status").then_some(status)
}

/// What the API server says of it, in one line.
fn message(answer: &Answer) -> String {
    let said = status(answer).and_then(|status| Some(status.get("message")?.as_str()?.to_owned()));
    let said = said.unwrap_or_else(|| String::from_utf8_lossy(&answer.body).into_owned());
    let line: Vec<&str> = said.split_whitespace().collect();
    match line.is_empty() {
        true => answer.status.canonical_reason().unwrap_or("no reason given").to_owned(),
        false => line.join(" ").chars().take(500).collect(),
    }
}

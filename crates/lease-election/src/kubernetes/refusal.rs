//! What an API server's refusals mean, and what to do about them.

use crate::store::StoreError;

pub(super) const BUSY: &str = "the API server is busy and asked to wait (429)";

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
    /// The meaning of an HTTP status that is neither success, absence nor conflict. `verb` is the one in a Role.
    pub fn refusal(&self, verb: &str, code: u16, message: &str) -> StoreError {
        let words: Vec<&str> = message.split_whitespace().collect();
        let said: String = match words.is_empty() {
            true => "no reason given".to_owned(),
            false => words.join(" ").chars().take(500).collect(),
        };
        match code {
            401 => StoreError::Refused(format!(
                "the API server rejected the credentials (401: {said}); check the ServiceAccount and its token, or the user in --kubeconfig"
            )),
            403 => StoreError::Refused(format!(
                "no permission to {verb} {self} (403: {said}); a Role must allow get, update and watch on leases.coordination.k8s.io named {}, and a RoleBinding grant it to this ServiceAccount",
                self.name
            )),
            429 => StoreError::Unreachable(BUSY.to_owned()),
            408 | 500.. => StoreError::Unreachable(format!("the API server failed to {verb} {self} ({code}: {said})")),
            _ => StoreError::Refused(format!(
                "the API server answered {code} when asked to {verb} {self}: {said}"
            )),
        }
    }

    /// For an answer with status 200 that is not a Lease.
    pub fn unreadable(&self, detail: &str) -> StoreError {
        StoreError::Refused(format!("the API server's answer for {self} is not readable: {detail}"))
    }
}

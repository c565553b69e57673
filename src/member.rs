//! The composition root: builds the parts, starts and stops them in order.

use crate::cli::Exit;
use crate::config::Config;
use crate::telemetry::LogControl;

#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("the member isn't composed yet")]
    Uncomposed,
}

impl MemberError {
    pub fn exit(&self) -> Exit {
        Exit::Bug
    }
}

pub async fn run(_config: Config, _log: LogControl) -> Result<(), MemberError> {
    Err(MemberError::Uncomposed)
}

//! The events of a watch: one JSON object a line. kube's reader has no limit for a line.

use http_body_util::BodyExt;
use kube::client::Body;
use kube::core::WatchEvent;
use serde_json::Value;

use super::ANSWER_MAX;

pub(super) struct Events {
    body: Body,
    read: Vec<u8>,
    /// So many bytes of `read` have no end of line.
    searched: usize,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum EventError {
    #[error("an event is longer than {ANSWER_MAX} bytes")]
    TooLong,
    #[error("an event is not readable: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("{0}")]
    CutOff(#[from] kube::Error),
}

impl Events {
    pub fn new(body: Body) -> Events {
        Events {
            body,
            read: Vec::new(),
            searched: 0,
        }
    }

    /// The next event; none at the end. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<WatchEvent<Value>>, EventError> {
        loop {
            if let Some(end) = self.read[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=self.searched + end).collect();
                self.searched = 0;
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            self.searched = self.read.len();
            if self.read.len() > ANSWER_MAX {
                return Err(EventError::TooLong);
            }
            match self.body.frame().await {
                // The rest of a line that was cut off is no event.
                None => return Ok(None),
                Some(frame) => {
                    let frame = frame?;
                    self.read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
            }
        }
    }
}

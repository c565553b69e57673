//! What members send each other, and to the lease store.

use serde::Serialize;

use crate::happening::{Answer, Ask};

/// How many, and how long; as members send them, without the heads of HTTP.
#[derive(Clone, Copy, Default)]
pub struct Traffic {
    pub reads: u64,
    pub writes: u64,
    pub questions: u64,
    /// Of questions and answers; counted only where `in_bytes`, since that costs as much as the rest of the simulation.
    pub bytes: u64,
    pub in_bytes: bool,
}

impl Traffic {
    pub fn count_request(&mut self, write: bool) {
        match write {
            true => self.writes += 1,
            false => self.reads += 1,
        }
    }

    pub fn count_question(&mut self, question: &Ask) {
        self.questions += 1;
        match question {
            Ask::Keep(request) => self.count_bytes(request.as_ref()),
            Ask::Heads(request) => self.count_bytes(request.as_ref()),
            Ask::Records(hash) => self.count_bytes(hash),
        }
    }

    pub fn count_answer(&mut self, answer: &Answer) {
        match answer {
            Answer::Keep(Ok(answer)) => self.count_bytes(answer),
            Answer::Heads(Ok(answer)) => self.count_bytes(answer),
            Answer::Records(_, records) => self.count_bytes(records),
            // A refusal is short, and a calm world has none.
            Answer::Keep(Err(_)) | Answer::Heads(Err(_)) => {}
        }
    }

    fn count_bytes(&mut self, message: &impl Serialize) {
        if self.in_bytes {
            self.bytes += serde_json::to_vec(message).unwrap().len() as u64;
        }
    }

    /// What came since `before`.
    pub fn since(&self, before: &Traffic) -> Traffic {
        Traffic {
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            questions: self.questions - before.questions,
            bytes: self.bytes - before.bytes,
            in_bytes: self.in_bytes,
        }
    }
}

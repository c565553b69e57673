//! What is on its way in the simulated world, and what it is when it arrives.

use std::sync::Arc;

use lease_election::{LeaseChange, elector};
use random_generator::draw::conductor::{self, AskError};
use random_generator::lease::LeaseObject;
use random_generator::peer::message::{HeadsAnswer, HeadsRequest, KeepAnswer, KeepRequest};
use random_generator::record::{Hash, Record};

use crate::faults::Fault;

/// A request to the store on its way.
#[derive(Clone)]
pub enum Call {
    Read,
    Write {
        base: Arc<LeaseObject>,
        change: LeaseChange<Record>,
    },
}

/// A message from a holder to a peer on its way.
#[derive(Clone)]
pub enum Ask {
    Keep(Arc<KeepRequest>),
    Heads(Arc<HeadsRequest>),
    Records(Hash),
}

pub enum Answer {
    Keep(Result<KeepAnswer, AskError>),
    Heads(Result<HeadsAnswer, AskError>),
    Records(Hash, Vec<Arc<Record>>),
}

/// What reaches a process.
pub enum Input {
    Elector(elector::Event<Record>),
    Conductor(conductor::Event),
    /// The elector published: whoever watches sees the newest, never an older one after it.
    LeaseChanged,
    /// The process looks up its peers: it sees those that are published now.
    LookUp,
    Asked {
        from: usize,
        ask: u64,
        message: Ask,
    },
    Answered {
        ask: u64,
        ordinal: u16,
        answer: Answer,
    },
}

pub enum Happening {
    Input { to: usize, input: Input },
    Wake { to: usize },
    StoreCall { from: usize, op: u64, call: Call },
    Fault(Fault),
}

//! One line of a trace for what happened.

use lease_election::{WatchEvent, WriteOutcome, elector};
use random_generator::draw::conductor::Report;
use random_generator::lease::LeaseObject;
use random_generator::peer::message::{KeepAnswer, Refusal};
use random_generator::record::Record;

pub fn view(object: &LeaseObject) -> String {
    let head = object.payload.valid().map(|record| (record.round, record.fence));
    let holder = object.spec.holder.as_deref().unwrap_or("-");
    format!(
        "{} v{} {holder:?} fence {} head {head:?}",
        object.uid, object.version, object.fence
    )
}

pub fn event(event: &elector::Event<Record>) -> String {
    match event {
        elector::Event::Read {
            op,
            result: Ok(Some(object)),
        } => format!("read {op}: {}", view(object)),
        elector::Event::Watched(WatchEvent::Seen(object)) => format!("watched {}", view(object)),
        elector::Event::Wrote {
            op,
            outcome: WriteOutcome::Written(object),
        } => format!("wrote {op}: {}", view(object)),
        elector::Event::Commit(request) => format!("commit {} round {}", request.ticket, request.payload.round),
        other => format!("{other:?}"),
    }
}

pub fn report(report: &Report) -> String {
    match report {
        Report::Drawn(record) => format!("round {} slot {} drawn", record.round, record.slot),
        Report::Restored(record) => format!("round {} restored", record.round),
        other => format!("{other:?}"),
    }
}

pub fn outcome(answer: &Result<KeepAnswer, Refusal>) -> String {
    match answer {
        Ok(_) => "kept".to_owned(),
        Err(refusal) => refusal.to_string(),
    }
}

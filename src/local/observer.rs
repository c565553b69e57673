//! Polls the local cluster's members over public HTTP for the leader and the newest draws, and sends news to the output.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http_body_util::Full;
use hyper::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::layout::Place;
use super::output::{Drawn, Event};
use crate::client::{Client, Limits};
use crate::shutdown::Signal;

/// Time between two polls of all members.
const PACE: Duration = Duration::from_millis(250);
/// Limits of one request: a stopped member accepts the connection and never answers.
const LIMITS: Limits = Limits {
    connect: Duration::from_millis(500),
    exchange: Duration::from_millis(500),
    body: 1 << 20,
    idle: Duration::from_secs(10),
    repeat: false,
};
/// After a gap, the most older draws to publish before the newest one.
const MOST_CAUGHT_UP: u64 = 32;
/// Digits shown of an output.
const DIGITS: usize = 16;

/// The parts of `/leader` that are shown.
#[derive(Debug, Deserialize)]
struct LeaderAnswer {
    member: Option<String>,
    fence: Option<u64>,
}

/// The parts of a record that are shown.
#[derive(Debug, Deserialize)]
struct RecordAnswer {
    round: u64,
    slot: String,
    holder: String,
    fence: u64,
    missed: u64,
    missing: Vec<MissingAnswer>,
    output: Option<String>,
}

#[derive(Debug, Deserialize)]
struct MissingAnswer {
    ordinal: u16,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct DrawsAnswer {
    draws: Vec<RecordAnswer>,
}

/// Polls until stopped.
pub struct Observer {
    client: Client,
    places: Arc<[Place]>,
    set: String,
    events: mpsc::Sender<Event>,
    seen: Seen,
}

/// What was published. Members lag behind one another, and one that was stopped wakes with an old view: nothing published is
/// taken back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// (fence, no holder): the greater pair is newer. Within one fence a leader can disappear, but not appear.
    leader: Option<(u64, bool)>,
    /// (fence, round): a new chain begins at round 1 with a greater fence.
    draw: Option<(u64, u64)>,
}

impl Observer {
    pub fn new(set: &str, places: Arc<[Place]>, events: mpsc::Sender<Event>) -> Observer {
        Observer {
            client: Client::new(LIMITS),
            places,
            set: set.to_owned(),
            events,
            seen: Seen::default(),
        }
    }

    pub async fn run(mut self, mut stop: Signal) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => return,
                _ = pace.tick() => {}
            }
            tokio::select! {
                biased;
                () = stop.requested() => return,
                () = self.ask_all() => {}
            }
        }
    }

    async fn ask_all(&mut self) {
        let answers = join_all(self.places.iter().map(async |place| {
            let leader: Option<LeaderAnswer> = self.get(place, "leader").await;
            // A member that doesn't answer the first won't answer the second.
            match leader {
                Some(leader) => (
                    Some(leader),
                    self.get::<RecordAnswer>(place, "draws/latest").await,
                    place.ordinal,
                ),
                None => (None, None, place.ordinal),
            }
        }))
        .await;

        let mut newest: Option<(RecordAnswer, u16)> = None;
        let mut leaders = Vec::new();
        for (leader, record, ordinal) in answers {
            leaders.extend(leader);
            if let Some(record) = record
                && newest
                    .as_ref()
                    .is_none_or(|(best, _)| (best.fence, best.round) < (record.fence, record.round))
            {
                newest = Some((record, ordinal));
            }
        }
        if let Some(event) = self.seen.leader(leaders) {
            self.publish(event);
        }
        if let Some((record, ordinal)) = newest {
            self.draws_up_to(record, ordinal).await;
        }
    }

    async fn draws_up_to(&mut self, newest: RecordAnswer, ordinal: u16) {
        let Some(from) = self.seen.next(&newest) else { return };
        if from < newest.round {
            let place = self.places.get(usize::from(ordinal)).cloned();
            let limit = newest.round - from;
            let between: Option<DrawsAnswer> = match &place {
                Some(place) => self.get(place, &format!("draws?from={from}&limit={limit}")).await,
                None => None,
            };
            for record in between.into_iter().flat_map(|answer| answer.draws) {
                if record.round < newest.round && self.seen.next(&record).is_some() {
                    self.publish_draw(record);
                }
            }
        }
        self.publish_draw(newest);
    }

    fn publish_draw(&mut self, record: RecordAnswer) {
        self.seen.draw = Some((record.fence, record.round));
        let set = &self.set;
        let missing = record
            .missing
            .iter()
            .map(|missing| format!("{set}-{} ({})", missing.ordinal, missing.reason));
        self.publish(Event::Draw(Drawn {
            round: record.round,
            slot: record.slot,
            // The identity is NAME_UID-NONCE.
            holder: record.holder.split('_').next().unwrap_or_default().to_owned(),
            output: record.output.map(|output| output.chars().take(DIGITS).collect()),
            missed: record.missed,
            missing: missing.collect(),
        }));
    }

    /// Drops the event if the queue is full, so that a stalled reader never blocks polling.
    fn publish(&self, event: Event) {
        let _ = self.events.try_send(event);
    }

    /// Returns None on any error. The next poll tries again.
    async fn get<T: DeserializeOwned>(&self, place: &Place, path: &str) -> Option<T> {
        let request = Request::get(format!("http://127.0.0.1:{}/{path}", place.public_port));
        let answer = self.client.send(request.body(Full::default()).ok()?).await.ok()?;
        let succeeded = answer.status().is_success();
        succeeded.then(|| serde_json::from_slice(answer.body()).ok())?
    }
}

impl Seen {
    /// Returns an event if the answers of one poll show a newer leader state.
    fn leader(&mut self, answers: Vec<LeaderAnswer>) -> Option<Event> {
        let newest = answers
            .into_iter()
            .max_by_key(|answer| (answer.fence, answer.member.is_none()))?;
        let fence = newest.fence.unwrap_or(0);
        let key = (fence, newest.member.is_none());
        // A set that never had a leader needs no event.
        if self.leader.is_none() && newest.member.is_none() {
            return None;
        }
        if self.leader.is_some_and(|seen| seen >= key) {
            return None;
        }
        self.leader = Some(key);
        Some(Event::Leader {
            member: newest.member,
            fence,
        })
    }

    /// Returns the first round to publish, or None if `record` is old. The first record seen is published without earlier ones.
    fn next(&self, record: &RecordAnswer) -> Option<u64> {
        match self.draw {
            None => Some(record.round),
            Some(seen) if seen >= (record.fence, record.round) => None,
            Some((_, round)) if round < record.round => {
                Some((round + 1).max(record.round.saturating_sub(MOST_CAUGHT_UP)))
            }
            Some(_) => Some(record.round),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(member: Option<&str>, fence: u64) -> LeaderAnswer {
        LeaderAnswer {
            member: member.map(str::to_owned),
            fence: Some(fence),
        }
    }

    fn leads(member: Option<&str>, fence: u64) -> Option<Event> {
        Some(Event::Leader {
            member: member.map(str::to_owned),
            fence,
        })
    }

    #[test]
    fn the_leader_is_published_once_and_never_goes_back() {
        let mut seen = Seen::default();
        assert_eq!(seen.leader(vec![says(None, 0)]), None, "nobody ever led");
        assert_eq!(
            seen.leader(vec![says(None, 0), says(Some("rg-1"), 1)]),
            leads(Some("rg-1"), 1)
        );
        assert_eq!(seen.leader(vec![says(Some("rg-1"), 1)]), None);
        assert_eq!(seen.leader(vec![says(None, 1), says(Some("rg-1"), 1)]), leads(None, 1));
        assert_eq!(seen.leader(vec![says(Some("rg-1"), 1)]), None, "a member that lags");
        assert_eq!(
            seen.leader(vec![says(Some("rg-1"), 1), says(Some("rg-2"), 2)]),
            leads(Some("rg-2"), 2)
        );
        assert_eq!(seen.leader(vec![]), None);
    }

    #[test]
    fn draws_are_published_once_in_order_and_a_new_chain_from_its_first() {
        let record = |fence, round| RecordAnswer {
            round,
            slot: String::new(),
            holder: String::new(),
            fence,
            missed: 0,
            missing: Vec::new(),
            output: None,
        };
        let mut seen = Seen::default();
        assert_eq!(seen.next(&record(1, 100)), Some(100), "earlier draws are not published");
        seen.draw = Some((1, 100));
        assert_eq!(seen.next(&record(1, 100)), None);
        assert_eq!(seen.next(&record(1, 99)), None);
        assert_eq!(seen.next(&record(2, 103)), Some(101));
        assert_eq!(seen.next(&record(2, 1000)), Some(1000 - MOST_CAUGHT_UP));
        assert_eq!(seen.next(&record(9, 1)), Some(1));
    }
}

//! Whom to ask, and what is known of each: functions of what DNS lists, what members answered, and the time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Boot, Now, Wall};
use crate::discovery::{Peer, PeerList};
use crate::identity::MemberName;
use crate::peer::report::MemberReport;
use crate::record::Voters;
use crate::table::one_line;

/// How long a member is remembered that DNS no longer lists and that isn't a voter: it was scaled away.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The most characters of a reason. The rest is cut off: enough is left for a person to read.
const WHY_MAX: usize = 300;

/// The set, as this member saw it at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct SetView {
    /// When the last answer came.
    pub at: Now,
    /// By ordinal; a member without one is last.
    pub members: Vec<MemberView>,
}

/// One member.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberView {
    pub name: MemberName,
    pub is_self: bool,
    /// Whether DNS lists it.
    pub is_published: bool,
    /// None if it answered.
    pub silence: Option<Silence>,
    /// The newest; none if it never answered this member.
    pub reported: Option<Reported>,
}

/// Since when a member doesn't answer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The first time that it was asked in vain, since it last answered.
    pub since: Wall,
    /// Of the newest time, in one line.
    pub why: Arc<str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    pub at: Boot,
    pub report: Arc<MemberReport>,
    /// Bytes of the report as JSON: what an answer with it needs.
    pub bytes: usize,
}

impl Reported {
    fn new(report: MemberReport, at: Boot) -> Reported {
        Reported {
            at,
            bytes: serde_json::to_vec(&report).map_or(0, |json| json.len()),
            report: Arc::new(report),
        }
    }
}

/// What is known of a member from one round to the next.
#[derive(Debug)]
struct Known {
    is_published: bool,
    /// When it was last published, or first expected.
    listed: Boot,
    silence: Option<Silence>,
    reported: Option<Reported>,
}

#[derive(Debug)]
pub(super) struct Roster {
    own: MemberName,
    voters: Option<Voters>,
    known: BTreeMap<u16, Known>,
}

impl Roster {
    pub fn new(own: MemberName, voters: Option<Voters>) -> Roster {
        let known = BTreeMap::new();
        Roster { own, voters, known }
    }

    /// Begins a round: the members to ask. Of those that aren't published it is known at once that they won't answer.
    pub fn begin(&mut self, list: &PeerList, now: Now) -> Vec<Peer> {
        for known in self.known.values_mut() {
            known.is_published = false;
        }
        for peer in &list.peers {
            let known = self.known_at(peer.ordinal, now.boot);
            known.is_published = true;
            known.listed = now.boot;
        }
        let voters = self.voters.map_or(0..0, Voters::ordinals);
        for ordinal in voters.chain(self.own.ordinal) {
            self.known_at(ordinal, now.boot);
        }
        let (own, voters) = (self.own.ordinal, self.voters);
        self.known.retain(|ordinal, known| {
            let is_expected = Some(*ordinal) == own || voters.is_some_and(|voters| voters.contains(*ordinal));
            is_expected || now.boot.since(known.listed) < REMEMBERED
        });
        let why = match list.resolved_at {
            Some(_) => "DNS doesn't list it",
            None => "DNS hasn't answered yet",
        };
        let unpublished = self.known.iter().filter(|(_, known)| !known.is_published);
        let unpublished: Vec<u16> = unpublished.map(|(ordinal, _)| *ordinal).collect();
        for ordinal in unpublished {
            self.answered(ordinal, Err(why.to_owned()), now);
        }
        let others = list.peers.iter().filter(|peer| Some(peer.ordinal) != own);
        others.cloned().collect()
    }

    /// A member answered, or it is known why not.
    pub fn answered(&mut self, ordinal: u16, answer: Result<MemberReport, String>, now: Now) {
        let known = self.known_at(ordinal, now.boot);
        match answer {
            Ok(report) => {
                known.reported = Some(Reported::new(report, now.boot));
                known.silence = None;
            }
            Err(why) => {
                let since = known.silence.as_ref().map_or(now.wall, |silence| silence.since);
                let why: String = one_line(&why).chars().take(WHY_MAX).collect();
                let why = why.into();
                known.silence = Some(Silence { since, why });
            }
        }
    }

    /// Ends a round, with this member's own report.
    pub fn view(&mut self, own: MemberReport, now: Now) -> SetView {
        let mut unnumbered = None;
        match self.own.ordinal {
            Some(ordinal) => self.answered(ordinal, Ok(own), now),
            None => {
                unnumbered = Some(MemberView {
                    name: self.own.clone(),
                    is_self: true,
                    is_published: false,
                    silence: None,
                    reported: Some(Reported::new(own, now.boot)),
                });
            }
        }
        let numbered = self.known.iter().map(|(ordinal, known)| MemberView {
            name: MemberName {
                set: self.own.set.clone(),
                ordinal: Some(*ordinal),
            },
            is_self: Some(*ordinal) == self.own.ordinal,
            is_published: known.is_published,
            silence: known.silence.clone(),
            reported: known.reported.clone(),
        });
        SetView {
            at: now,
            members: numbered.chain(unnumbered).collect(),
        }
    }

    fn known_at(&mut self, ordinal: u16, now: Boot) -> &mut Known {
        self.known.entry(ordinal).or_insert(Known {
            is_published: false,
            listed: now,
            silence: None,
            reported: None,
        })
    }
}

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::*;
use crate::clock::{Boot, Now, Wall};
use crate::shutdown::{self, Trigger};

fn report(version: &str) -> MemberReport {
    let latches = json!({"listeners": true, "volume": true, "entropy": true, "journal": true});
    let report = json!({
        "node": null, "version": version, "started_at": "2027-01-15T08:00:00Z",
        "readiness": {"ready": true, "stopping": false, "latches": latches, "degraded": []},
        "volume": {"bytes": null, "used_bytes": null},
        "journal": {"bytes": 0, "max_bytes": 0, "fill": 0.0, "lag_ms": 0},
        "ledger": null, "draws": null,
        "lease": {"holder": null, "member": null, "self": false, "fence": 0, "acquired_at": null, "remaining_ms": null,
            "view_age_ms": null},
    });
    serde_json::from_value(report).unwrap()
}

fn at(second: u64) -> Now {
    Now {
        boot: Boot(second * 1_000_000_000),
        wall: Wall(second as i64 * 1_000_000),
    }
}

fn published(ordinals: &[u16]) -> PeerList {
    let peer = |ordinal: &u16| Peer {
        name: format!("rg-{ordinal}"),
        ordinal: *ordinal,
        host: format!("rg-{ordinal}.rg"),
        peer_port: 8081,
        addresses: Vec::new(),
        is_self: *ordinal == 0,
    };
    PeerList {
        peers: ordinals.iter().map(peer).collect(),
        resolved_at: Some((Boot(1), Wall(1))),
        stale: false,
        trouble: None,
    }
}

fn name(text: &str) -> MemberName {
    text.parse().unwrap()
}

/// One round of a roster, in which each asked member answers as `answers` has it, and otherwise reports.
fn round(roster: &mut Roster, list: &PeerList, answers: &[(u16, &str)], now: Now) -> BTreeMap<String, MemberView> {
    for peer in roster.begin(list, now) {
        let why = answers.iter().find(|(ordinal, _)| *ordinal == peer.ordinal);
        let answer = why.map_or_else(|| Ok(report("1")), |(_, why)| Err((*why).to_owned()));
        roster.answered(peer.ordinal, answer, now);
    }
    let view = roster.view(report("own"), now);
    assert_eq!(view.at, now);
    let named = view.members.into_iter().map(|member| (member.name.to_string(), member));
    named.collect()
}

fn silence(member: &MemberView) -> Option<(i64, &str)> {
    let silence = member.silence.as_ref()?;
    Some((silence.since.seconds(), &silence.why))
}

#[test]
fn a_member_is_silent_since_the_first_round_after_its_last_answer_and_for_the_newest_reason() {
    let mut roster = Roster::new(name("rg-0"), Some(3.into()));
    let all = published(&[0, 1, 2]);
    let view = round(&mut roster, &all, &[(2, "refused")], at(10));
    assert_eq!(silence(&view["rg-1"]), None);
    assert_eq!(silence(&view["rg-2"]), Some((10, "refused")));
    assert_eq!(view["rg-2"].reported, None, "it never answered");
    round(&mut roster, &all, &[(1, "refused")], at(20));
    let view = round(&mut roster, &all, &[(1, "no\nanswer\u{1b}")], at(30));
    assert_eq!(silence(&view["rg-1"]), Some((20, "no answer")));
    assert_eq!(
        view["rg-1"].reported.as_ref().unwrap().at,
        at(10).boot,
        "its last report stays"
    );
    let view = round(&mut roster, &all, &[], at(40));
    assert_eq!(silence(&view["rg-1"]), None);
    let view = round(&mut roster, &all, &[(1, "refused")], at(50));
    assert_eq!(silence(&view["rg-1"]), Some((50, "refused")), "a new silence");
}

#[test]
fn voters_and_members_of_before_that_dns_does_not_list_are_shown_and_not_asked() {
    let mut roster = Roster::new(name("rg-0"), Some(2.into()));
    let view = round(&mut roster, &published(&[0, 5]), &[], at(10));
    assert_eq!(view.keys().collect::<Vec<_>>(), ["rg-0", "rg-1", "rg-5"]);
    assert!(!view["rg-1"].is_published && view["rg-5"].is_published);
    assert_eq!(silence(&view["rg-1"]), Some((10, "DNS doesn't list it")));
    let asked = roster.begin(&published(&[0]), at(20));
    assert!(asked.is_empty(), "neither itself, nor who isn't listed");
    let view = roster.view(report("own"), at(20));
    let scaled_away = view.members.last().unwrap();
    assert_eq!(silence(scaled_away), Some((20, "DNS doesn't list it")));
    assert!(scaled_away.reported.is_some());
    // Ten minutes after DNS last listed it, it is forgotten; a voter is not.
    let view = round(&mut roster, &published(&[0]), &[], at(609));
    assert!(view.contains_key("rg-5"));
    let view = round(&mut roster, &published(&[0]), &[], at(611));
    assert_eq!(view.keys().collect::<Vec<_>>(), ["rg-0", "rg-1"]);
    let mut unlisted = Roster::new(name("rg-0"), Some(1.into()));
    let nothing = PeerList {
        resolved_at: None,
        ..published(&[])
    };
    let view = round(&mut unlisted, &nothing, &[], at(1));
    assert!(!view["rg-0"].is_published);
    assert_eq!(silence(&view["rg-0"]), None, "a member always has its own report");
}

#[test]
fn a_member_without_ordinal_shows_itself_and_those_that_dns_lists() {
    let mut roster = Roster::new(name("rg-7d4b-x2x4z"), None);
    let view = round(&mut roster, &published(&[]), &[], at(1));
    assert_eq!(view.keys().collect::<Vec<_>>(), ["rg-7d4b-x2x4z"]);
    assert!(view["rg-7d4b-x2x4z"].is_self);
}

/// A running task, and how often it asked.
struct World {
    handle: SetHandle,
    clock: Clock,
    peers: watch::Sender<Arc<PeerList>>,
    asked: Arc<AtomicUsize>,
    stop: Trigger,
    task: JoinSet<()>,
}

/// At second 100 of a clock that only the test moves. `hangs`: this ordinal never answers.
fn world(members: &[u16], hangs: Option<u16>) -> World {
    let (peers, list) = watch::channel(Arc::new(published(members)));
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let parts = SetParts {
        name: name("rg-0"),
        voters: Some(1.into()),
        peers: list,
        ask: Box::new(move |peer| {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async move {
                if Some(peer.ordinal) == hangs {
                    std::future::pending::<()>().await;
                }
                Ok(report("1"))
            })
        }),
        own: Arc::new(|| report("own")),
        metrics: SetMetrics::register(&mut Registry::default()),
    };
    let clock = Clock::held(at(100));
    let (task, handle) = SetTask::new(parts, clock.clone());
    let (stop, stopped) = shutdown::stage();
    let mut tasks = JoinSet::new();
    tasks.spawn(task.run(stopped));
    World {
        handle,
        clock,
        peers,
        asked,
        stop,
        task: tasks,
    }
}

impl World {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn set_milliseconds(&self, now: u64) {
        self.clock.set(Now {
            boot: Boot(now * 1_000_000),
            wall: Wall(now as i64 * 1_000),
        });
    }

    /// A request that is under way.
    fn wants(&self, clients: &mut JoinSet<Arc<SetView>>) {
        let handle = self.handle.clone();
        clients.spawn(async move { handle.view().await.unwrap() });
    }

    async fn until_asked(&self, times: usize) {
        let asked = async {
            while self.asked() < times {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(60), asked).await.unwrap();
        assert_eq!(self.asked(), times);
    }
}

#[tokio::test]
async fn members_are_asked_at_most_once_a_second_whatever_the_load() {
    let world = world(&[0, 1], None);
    // Nobody wants the view: nobody is asked, however much time passes.
    for (now, rounds) in [
        (1_000_000, 1),
        (1_000_999, 1),
        (1_001_000, 2),
        (1_001_999, 2),
        (9_000_000, 3),
    ] {
        world.set_milliseconds(now);
        let mut clients = JoinSet::new();
        for _ in 0..1_000 {
            world.wants(&mut clients);
        }
        for view in clients.join_all().await {
            assert_eq!(view.members.len(), 2);
            assert!(
                at(now / 1_000).boot.since(view.at.boot) < GOOD_FOR,
                "{now}: an old view"
            );
        }
        assert_eq!(world.asked(), rounds, "{now}");
    }
}

#[tokio::test]
async fn a_member_that_hangs_costs_its_second_and_those_who_come_meanwhile_wait_for_the_same_round() {
    let world = world(&[0, 1, 2], Some(1));
    let mut clients = JoinSet::new();
    world.wants(&mut clients);
    world.until_asked(2).await;
    for _ in 0..10 {
        world.wants(&mut clients);
    }
    let views = clients.join_all().await;
    assert_eq!(silence(&views[0].members[1]).unwrap().1, "no answer within 1 s");
    assert!(views[0].members[2].reported.is_some(), "the others are shown");
    assert!(views.iter().all(|view| Arc::ptr_eq(view, &views[0])));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_stop_ends_a_round_and_the_newest_view_is_still_given_out() {
    let mut world = world(&[0], Some(1));
    let view = world.handle.view().await.unwrap();
    world.peers.send_replace(Arc::new(published(&[0, 1])));
    world.set_milliseconds(200_000);
    let mut clients = JoinSet::new();
    world.wants(&mut clients);
    world.until_asked(1).await;
    world.stop.pull();
    world.task.join_next().await.unwrap().unwrap();
    let given = clients.join_all().await;
    assert!(Arc::ptr_eq(&given[0], &view));
    assert!(Arc::ptr_eq(&world.handle.view().await.unwrap(), &view));
}

//! Which member is asked next: they take turns, and one that failed rests for a while.

use std::time::Duration;

use super::Failure;
use super::target::{Member, Resolve, Target, all_members};
use crate::clock::Boot;

/// After the first failure; each further one doubles it.
const REST: Duration = Duration::from_millis(100);
/// A restarted member is back within a few seconds.
const REST_MAX: Duration = Duration::from_secs(4);

/// Maximum age of a Service's list of members when one of them fails: a restarted one may have another address.
const LIST_AGE: Duration = Duration::from_secs(2);

/// The members, named by URL or by their Service.
pub(super) struct Members<'a> {
    targets: &'a [Target],
    resolve: &'a Resolve,
    listed: Boot,
    pub(super) spread: Spread,
}

impl<'a> Members<'a> {
    /// `first` as in [`Spread::new`].
    pub(super) async fn open(
        targets: &'a [Target],
        resolve: &'a Resolve,
        now: Boot,
        first: usize,
    ) -> Result<Members<'a>, Failure> {
        Ok(Members {
            targets,
            resolve,
            listed: now,
            spread: Spread::new(all_members(targets, resolve).await?, first),
        })
    }

    /// Looks a Service up again, after one of its members failed. A look-up that fails leaves the list as it is.
    pub(super) async fn refresh(&mut self, now: Boot) {
        let named = self.targets.iter().any(|target| matches!(target, Target::Service(_)));
        if !named || now.since(self.listed) < LIST_AGE {
            return;
        }
        self.listed = now;
        if let Ok(members) = all_members(self.targets, self.resolve).await {
            self.spread.replace(members);
        }
    }
}

#[derive(Debug)]
pub(super) struct Spread {
    members: Vec<Known>,
    next: usize,
}

#[derive(Clone, Debug)]
struct Known {
    member: Member,
    failures: u32,
    failed: Boot,
    rests_until: Boot,
}

impl Known {
    fn new(member: Member) -> Known {
        Known {
            member,
            failures: 0,
            failed: Boot(0),
            rests_until: Boot(0),
        }
    }
}

impl Spread {
    /// `members` isn't empty. `first` is any number: not all clients should start with the same member.
    pub(super) fn new(members: Vec<Member>, first: usize) -> Spread {
        Spread {
            members: members.into_iter().map(Known::new).collect(),
            next: first,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The next member in turn that doesn't rest, or the one whose rest ends first, and how long to wait for it. `not` has just
    /// failed, and is picked only when there is no other.
    pub(super) fn pick(&mut self, now: Boot, not: Option<&Member>) -> (Member, Duration) {
        let count = self.members.len();
        self.next = self.next.wrapping_add(1);
        let turn = (0..count).map(|n| &self.members[self.next.wrapping_add(n) % count]);
        // The first of equals wins.
        let best = turn.min_by_key(|known| {
            let rest = known.rests_until.since(now);
            (rest, Some(&known.member) == not)
        });
        let best = best.unwrap_or(&self.members[0]);
        (best.member.clone(), best.rests_until.since(now))
    }

    /// It failed to answer a request sent at `asked`. `wait` is its Retry-After; `jitter` is from 0.5 to 1.
    pub(super) fn failed(&mut self, member: &Member, asked: Boot, now: Boot, wait: Option<Duration>, jitter: f64) {
        let Some(known) = self.members.iter_mut().find(|known| known.member == *member) else {
            return;
        };
        // Of several requests that met one outage, the first counts.
        if known.failures > 0 && asked <= known.failed {
            return;
        }
        let rest = REST
            .saturating_mul(1 << known.failures.min(16))
            .min(REST_MAX)
            .mul_f64(jitter);
        known.failures += 1;
        known.failed = now;
        known.rests_until = now + rest.max(wait.unwrap_or_default().min(REST_MAX));
    }

    pub(super) fn worked(&mut self, member: &Member) {
        if let Some(known) = self.members.iter_mut().find(|known| known.member == *member) {
            known.failures = 0;
        }
    }

    /// The Service has these members now; the failures of those that stay are remembered.
    fn replace(&mut self, members: Vec<Member>) {
        if members.is_empty() {
            return;
        }
        let known = |member: Member| {
            let before = self.members.iter().find(|known| known.member == member);
            before.cloned().unwrap_or_else(|| Known::new(member))
        };
        self.members = members.into_iter().map(known).collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::discovery::service::PublicListener;

    fn spread(count: u16) -> Spread {
        let member = |n| format!("http://127.0.0.1:{}", 8080 + n).parse().unwrap();
        Spread::new((0..count).map(member).collect(), 7)
    }

    fn at(milliseconds: u64) -> Boot {
        Boot(milliseconds * 1_000_000)
    }

    #[test]
    fn members_take_turns() {
        let mut spread = spread(3);
        let picked: Vec<String> = (0..6).map(|_| spread.pick(at(0), None).0.to_string()).collect();
        assert_eq!(picked[..3], picked[3..]);
        let mut three = picked[..3].to_vec();
        three.sort();
        three.dedup();
        assert_eq!(three.len(), 3);
    }

    #[test]
    fn one_that_failed_rests_longer_each_time_and_is_asked_again() {
        let mut spread = spread(2);
        let (failing, _) = spread.pick(at(0), None);
        spread.failed(&failing, at(0), at(1000), None, 1.0);
        // Asked before the failure was seen: the same failure.
        spread.failed(&failing, at(500), at(1001), None, 1.0);
        for _ in 0..4 {
            assert_ne!(spread.pick(at(1050), None).0, failing);
        }
        let again: Vec<_> = (0..2).map(|_| spread.pick(at(1100), None).0).collect();
        assert!(again.contains(&failing));
        spread.failed(&failing, at(1100), at(1200), None, 1.0);
        assert!((0..2).all(|_| spread.pick(at(1399), None).0 != failing));
        assert!((0..2).any(|_| spread.pick(at(1400), None).0 == failing));
    }

    #[test]
    fn the_one_that_failed_is_asked_again_at_once_only_if_there_is_no_other() {
        let mut two = spread(2);
        let (first, _) = two.pick(at(0), None);
        assert!((0..4).all(|_| two.pick(at(0), Some(&first)).0 != first));
        let mut alone = spread(1);
        let (only, _) = alone.pick(at(0), None);
        alone.failed(&only, at(0), at(0), Some(Duration::from_secs(60)), 1.0);
        assert_eq!(alone.pick(at(0), Some(&only)), (only, REST_MAX));
    }

    #[test]
    fn a_new_list_keeps_what_is_known() {
        let mut spread = spread(2);
        let (failing, _) = spread.pick(at(0), None);
        spread.failed(&failing, at(0), at(0), None, 1.0);
        let other: Member = "http://127.0.0.1:9999".parse().unwrap();
        spread.replace(vec![failing.clone(), other.clone()]);
        assert!((0..4).all(|_| spread.pick(at(50), None).0 == other));
        spread.replace(Vec::new());
        assert_eq!(spread.len(), 2);
    }

    #[tokio::test]
    async fn a_service_is_looked_up_again_when_its_list_is_old_and_not_while_dns_fails() {
        let asked = Arc::new(AtomicUsize::new(0));
        let turns = asked.clone();
        let resolve = move |_: String| -> BoxFuture<'static, _> {
            let turn = turns.fetch_add(1, Ordering::SeqCst);
            let ports: &[u16] = [&[1, 2][..], &[], &[1, 2, 3]][turn];
            let found = ports.iter().map(|port| PublicListener {
                authority: format!("127.0.0.1:{port}"),
                addresses: Vec::new(),
            });
            let found = found.collect();
            Box::pin(async move { Ok(found) })
        };
        let targets = ["srv://rg.example".parse().unwrap()];
        let mut members = Members::open(&targets, &resolve, at(0), 0).await.unwrap();
        // Time of the refresh, look-ups so far, members then. The second look-up finds no member.
        for (now, turns, count) in [(1999, 1, 2), (2000, 2, 2), (3999, 2, 2), (4000, 3, 3)] {
            members.refresh(at(now)).await;
            assert_eq!(
                (asked.load(Ordering::SeqCst), members.spread.len()),
                (turns, count),
                "{now}"
            );
        }
    }
}

//! A volume is lost, the Lease is deleted, the set is scaled: the chain goes on.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::chain::{Seen, check_verified, number};
use crate::harness::{Set, directory, eventually, shared_turn};

const SHORT: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_lost_its_volume_catches_up_and_draws_go_on() {
    let _turn = shared_turn().await;
    let dir = directory();
    let set = Set::start(dir.path(), 3, SHORT).await;
    set.all_have(3).await;
    let mut seen = Seen::default();
    let (holder, _) = set.holder().await;
    for (lost, who) in [((holder + 1) % 3, "a follower"), (holder, "a member that led")] {
        seen.look(&set).await;
        // Stopped first: it must neither write into the new volume nor come back before the old one is gone.
        let pid = set.signal(lost, Signal::STOP).await;
        fs::rename(&set.place(lost).volume, dir.path().join(format!("lost-{lost}"))).unwrap();
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        let another = async || (set.pid(lost)? != pid && set.is_ready(lost).await).then_some(());
        eventually("it is back", another).await;
        let whole = async || set.json(lost, "/draws/1").await;
        eventually(&format!("the first record at {who} with an empty volume"), whole).await;
        let newest = set.newest().await;
        set.all_have(newest + 3).await;
        seen.check_all(&set).await;
        let last = seen.by_round.values().next_back().unwrap();
        assert_eq!(last["contributions"].as_array().unwrap().len(), 3, "{who}: {last}");
    }
    for n in 0..3 {
        check_verified(&set.http, &set.url(n)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_on_when_the_lease_is_deleted_and_the_volumes_are_kept() {
    let _turn = shared_turn().await;
    let dir = directory();
    let set = Set::start(dir.path(), 3, SHORT).await;
    set.all_have(3).await;
    let mut seen = Seen::default();
    seen.check_all(&set).await;

    fs::remove_dir_all(dir.path().join("lease")).unwrap();
    let newest = set.newest().await;
    set.all_have(newest + 3).await;
    seen.check_all(&set).await;
    check_verified(&set.http, &set.url(1)).await;

    let (_, fence) = set.holder().await;
    set.interrupt().await;
    fs::remove_dir_all(dir.path().join("lease")).unwrap();
    let set = Set::start(dir.path(), 3, SHORT).await;
    // The fence goes on as well: the volumes know the last one.
    let first = eventually("a draw under the new Lease", async || {
        let latest = set.latest(0).await?;
        (number(&latest, "fence") > fence).then_some(latest)
    })
    .await;
    set.all_have(number(&first, "round") + 2).await;
    seen.check_all(&set).await;
    for n in 0..3 {
        check_verified(&set.http, &set.url(n)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chain_goes_on_when_the_set_is_scaled_down_and_up_again() {
    let _turn = shared_turn().await;
    let dir = directory();
    let mut seen = Seen::default();
    for members in [3, 2, 4, 3] {
        let set = Set::start(dir.path(), members, SHORT).await;
        let first = eventually("a draw that states the new number of voters", async || {
            let latest = set.latest(0).await?;
            (number(&latest, "voters") == u64::from(members)).then_some(latest)
        })
        .await;
        set.all_have(number(&first, "round") + 2).await;
        seen.check_all(&set).await;
        check_verified(&set.http, &set.url(usize::from(members) - 1)).await;
        set.interrupt().await;
    }
}

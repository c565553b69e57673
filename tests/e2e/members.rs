//! A set in its daily life: rolled out, a Pod deleted, handed over, scaled, applied again.

use std::collections::BTreeSet;

use axum::http::Request;
use serde_json::Value;

use crate::cluster::until;
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::{access, handover, scaling, steps};

pub fn group() -> Group {
    Group {
        name: "members",
        // The Pods that these tests delete need not serve for long after they are asked to end.
        plan: Plan::quick("overlays/kind").with("SHUTDOWN_DELAY", "1s"),
        start: Start::Drawing(3),
        steps: steps![
            a_rollout_ends_with_a_ready_member_for_each_ordinal_each_on_a_volume_of_its_own,
            access::no_pod_security_warning_comes_where_restricted_is_warned_of_and_a_privileged_control_gets_one,
            access::auth_can_i_denies_all_but_the_one_lease,
            access::applying_twice_leaves_the_leases_record_untouched,
            journal_and_ids_go_on_after_a_pod_is_deleted_under_the_same_ordinal_on_the_same_volume,
            handover::a_holder_that_is_deleted_hands_over_within_a_second_at_the_median_of_ten,
            scaling::from_three_to_five_to_two_to_three_claims_are_kept_and_draws_go_on,
        ],
    }
}

async fn a_rollout_ends_with_a_ready_member_for_each_ordinal_each_on_a_volume_of_its_own(set: Set) {
    let pods = set.until_ready(3).await;
    let names: Vec<&str> = pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["rg-0", "rg-1", "rg-2"]);
    let mut volumes = BTreeSet::new();
    for pod in &pods {
        assert_eq!(pod.claim, format!("logs-{}", pod.name));
        assert_eq!(pod.restarts, 0, "{pod:?}");
        volumes.insert(volume(&set, &pod.claim).await);
    }
    assert_eq!(volumes.len(), 3);
    let holder = set.holder().await;
    let pod = set.pod(holder.ordinal).await.unwrap();
    assert!(
        holder.identity.starts_with(&format!("{}_{}-", pod.name, pod.uid)),
        "{holder:?}"
    );
    for ordinal in 0..3 {
        let agrees = async || match set.json(ordinal, "/leader").await? {
            says if says["holder"] == holder.identity.as_str() => Ok(says),
            says => Err(says.to_string()),
        };
        let says = until("the same holder everywhere", agrees).await;
        assert_eq!(says["self"], ordinal == holder.ordinal);
    }
    let all = async || match set.json(0, "/draws/latest").await? {
        record if record["contributions"].as_array().is_some_and(|all| all.len() == 3) => Ok(()),
        record => Err(record.to_string()),
    };
    until("a draw that all three contribute to", all).await;
    set.until_undegraded(&[0, 1, 2]).await;
    set.check_chain(&[0, 1, 2]).await;
}

/// The name of the volume behind a claim.
pub async fn volume(set: &Set, claim: &str) -> String {
    let claim = set
        .cluster
        .get(&set.path(&format!("persistentvolumeclaims/{claim}")))
        .await
        .unwrap();
    claim["spec"]["volumeName"].as_str().expect("a bound claim").to_owned()
}

/// Ids that a member gives, as numbers.
pub fn ids(answer: &Value) -> Vec<u64> {
    let values = answer["values"].as_array().expect("ids").iter();
    values.map(|id| id.as_str().unwrap().parse().unwrap()).collect()
}

/// Ten bits of an id are the ordinal; the lowest twelve are a counter.
pub fn ordinal_in(id: u64) -> u64 {
    (id >> 12) & 0x3ff
}

async fn journal_and_ids_go_on_after_a_pod_is_deleted_under_the_same_ordinal_on_the_same_volume(set: Set) {
    let old = set.pod(1).await.unwrap();
    let before_volume = volume(&set, &old.claim).await;
    let before_process = set.json(1, "/").await.unwrap()["id"].clone();
    let before = ids(&set.json(1, "/ids?count=1000").await.unwrap());
    for request in 0..20 {
        let asked = Request::get(set.proxy(1, 8080, "/")).header("x-request-id", format!("before-{request}"));
        assert!(set.asked(asked.body(Vec::new()).unwrap()).await.unwrap().0.is_success());
    }
    let oldest_row = set.metric(1, "journal_oldest_row").await.unwrap();
    let newest_row = set.metric(1, "journal_newest_row").await.unwrap();
    assert!(newest_row >= oldest_row + 20.0, "{oldest_row} to {newest_row}");

    set.delete_pod(1).await;
    let new = set.until_replaced(&old).await;

    assert_eq!((new.name.as_str(), new.claim.as_str()), ("rg-1", old.claim.as_str()));
    assert_eq!(volume(&set, &new.claim).await, before_volume);
    assert_ne!(set.json(1, "/").await.unwrap()["id"], before_process);
    let after = ids(&set.json(1, "/ids?count=1000").await.unwrap());
    assert!(
        after.iter().min() > before.iter().max(),
        "{:?} after {:?}",
        after.first(),
        before.last()
    );
    assert!(before.iter().chain(&after).all(|id| ordinal_in(*id) == 1));
    let goes_on = async || {
        let rows = (
            set.metric(1, "journal_oldest_row").await?,
            set.metric(1, "journal_newest_row").await?,
        );
        (rows.0 == oldest_row && rows.1 > newest_row)
            .then_some(())
            .ok_or_else(|| format!("rows {rows:?}"))
    };
    until("a journal that begins where it began, and goes on", goes_on).await;
    set.check_chain(&[0, 1, 2]).await;
}

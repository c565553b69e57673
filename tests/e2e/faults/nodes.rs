//! A node is cut off from everything, or dies.

use super::{RENEW_DEADLINE, unix_time};
use crate::client::Client;
use crate::cluster::{Undo, until};
use crate::members::{ids, ordinal_in};
use crate::pod::{Pod, ordinal_of};
use crate::set::Set;

/// The number by which the fault command knows a node: what its name ends with.
fn number(node: &str) -> String {
    ordinal_of(node).to_string()
}

/// A member on each of three nodes, so that one of them may be lost.
async fn spread(set: &Set) -> Vec<Pod> {
    let apart = async || {
        let pods = set.until_ready(3).await;
        let shares = |pod: &&Pod| {
            pods.iter()
                .any(|other| other.ordinal < pod.ordinal && other.node == pod.node)
        };
        match pods.iter().find(shares) {
            None => Ok(pods.clone()),
            Some(pod) => {
                set.delete_pod(pod.ordinal).await;
                set.until_replaced(pod).await;
                Err(format!("{} was on the node of another", pod.name))
            }
        }
    };
    until("a member on each of three nodes", apart).await
}

async fn cut(set: &Set, node: &str) -> Undo {
    let (fault, node) = (set.cluster.given.fault.clone().unwrap(), number(node));
    let undo = set.mend_later(&[&fault, "heal", &node]);
    set.cluster.fault(&["cut", &node]).await;
    undo
}

async fn node_is(set: &Set, node: &str, ready: bool) {
    let path = format!("/api/v1/nodes/{node}");
    let is = async || {
        let conditions = set.cluster.get(&path).await?["status"]["conditions"].clone();
        let found = conditions
            .as_array()
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready");
        let status = found.map(|condition| condition["status"].clone()).unwrap_or_default();
        ((status == "True") == ready)
            .then_some(())
            .ok_or_else(|| status.to_string())
    };
    until(&format!("{node}, ready: {ready}"), is).await;
}

/// What members other than this one are.
fn others(ordinal: u16) -> Vec<u16> {
    (0..3).filter(|other| *other != ordinal).collect()
}

pub async fn a_holder_whose_node_is_cut_off_conducts_nothing_and_serves_numbers_and_another_leads(set: Set) {
    let pods = spread(&set).await;
    let holder = set.holder().await;
    let pod = &pods[usize::from(holder.ordinal)];
    let of = |path: &str| format!("http://{}:8080{path}", pod.ip);
    let inside = Client::watch(&set, "inside", &[of("/integers?count=2"), of("/leader")], &pod.node).await;

    let undo = cut(&set, &pod.node).await;
    let from = unix_time();
    let (next, _) = set.takeover(&holder).await;
    assert_ne!(next.ordinal, holder.ordinal);
    set.until_draws_go_on(&others(holder.ordinal), 3).await;
    let to = unix_time();
    set.cluster.mend(undo).await;
    node_is(&set, &pod.node, true).await;
    set.until_ready(3).await;

    let answers = inside.answers().await;
    let cut_off: Vec<_> = answers
        .iter()
        .filter(|(time, _, _)| (from + 1..to).contains(time))
        .collect();
    let numbers: Vec<_> = cut_off.iter().filter(|(_, url, _)| url.contains("integers")).collect();
    assert!(
        numbers.len() >= 5 && numbers.iter().all(|(_, _, body)| body.contains("values")),
        "{numbers:?}"
    );
    let late = from + RENEW_DEADLINE.as_secs() + 2;
    let leads: Vec<_> = cut_off
        .iter()
        .filter(|(time, url, _)| *time > late && url.contains("leader"))
        .collect();
    assert!(
        !leads.is_empty() && leads.iter().all(|(_, _, body)| body.contains("\"self\":false")),
        "{leads:?}"
    );
    println!(
        "        {} numbers served on the node cut off, none failed; asked {} times, it didn't lead",
        numbers.len(),
        leads.len()
    );
    inside.delete().await;

    let chain = set.check_chain(&[0, 1, 2]).await;
    let first = chain
        .iter()
        .position(|record| record.fence > holder.fence)
        .expect("another drew");
    assert!(
        chain[first..].iter().all(|record| record.holder != holder.identity),
        "it conducted a draw"
    );
}

pub async fn a_pod_force_deleted_while_its_old_process_runs_on_a_node_cut_off_is_one_chain_one_owner_of_the_volume_and_no_id_twice(
    set: Set,
) {
    let pods = spread(&set).await;
    let old = &pods[1];
    let of = |path: &str| format!("http://{}:8080{path}", old.ip);
    let inside = Client::watch(&set, "inside", &[of("/ids?count=20"), of("/draws/latest")], &old.node).await;

    let undo = cut(&set, &old.node).await;
    let from = unix_time();
    // Until then a new Pod might go to the same node.
    node_is(&set, &old.node, false).await;
    set.kubectl(&["delete", "pod", "rg-1", "--force", "--grace-period=0"])
        .await
        .expect_ok();

    // There are two now: one that runs, and one that finds the volume in use.
    let second = async || {
        let object = set.cluster.get(&set.path("pods/rg-1")).await?;
        let status = object
            .pointer("/status/containerStatuses/0")
            .cloned()
            .unwrap_or_default();
        let exited = [
            status.pointer("/state/terminated/exitCode"),
            status.pointer("/lastState/terminated/exitCode"),
        ];
        assert_ne!(status["ready"], true, "a second owner of the volume: {status}");
        match exited.iter().flatten().any(|code| code.as_u64() == Some(75))
            && object["metadata"]["uid"] != old.uid.as_str()
        {
            true => Ok(object["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()),
            false => Err(status.to_string()),
        }
    };
    let node = until("a second rg-1 that ends with 75, since the volume is in use", second).await;
    assert_ne!(node, old.node);
    set.until_draws_go_on(&others(1), 3).await;
    let to = unix_time();
    set.cluster.mend(undo).await;
    node_is(&set, &old.node, true).await;
    let new = set.until_replaced(old).await;
    assert_eq!(new.claim, old.claim);

    let answers = inside.answers().await;
    inside.delete().await;
    let given = answers
        .iter()
        .filter(|(_, url, body)| url.contains("/ids") && body.starts_with('{'));
    let mut all: Vec<u64> = Vec::new();
    let mut while_cut_off = 0;
    for (time, _, body) in given {
        all.extend(ids(&serde_json::from_str(body).unwrap()));
        while_cut_off += u32::from((from + 1..to).contains(time));
    }
    assert!(
        while_cut_off > 20,
        "{while_cut_off} answers of the old process while it was cut off"
    );
    let last = all.iter().max().copied();
    let of_new = ids(&set.json(1, "/ids?count=1000").await.unwrap());
    assert!(
        of_new.iter().min().copied() > last,
        "the new process begins again below {last:?}"
    );
    all.extend(of_new);
    assert!(all.iter().all(|id| ordinal_in(*id) == 1));
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "an id came twice");
    println!(
        "        {count} ids of rg-1 from two processes, none twice; {while_cut_off} requests answered by the old one while cut off"
    );
    set.check_chain(&[0, 1, 2]).await;
}

pub async fn a_node_killed_and_revived_costs_the_others_nothing_and_its_member_comes_back(set: Set) {
    let pods = spread(&set).await;
    let holder = set.holder().await;
    let lost = &pods[usize::from(holder.ordinal)];
    let others = others(lost.ordinal);
    let urls: Vec<String> = others
        .iter()
        .map(|ordinal| format!("http://{}:8080/", pods[usize::from(*ordinal)].ip))
        .collect();
    // On a node that lives.
    let watch = Client::watch(&set, "watch", &urls, &pods[usize::from(others[0])].node).await;
    let undo = set.mend_later(&[
        set.cluster.given.fault.as_deref().unwrap(),
        "revive",
        &number(&lost.node),
    ]);
    set.cluster.fault(&["kill", &number(&lost.node)]).await;
    let (next, _) = set.takeover(&holder).await;
    assert_ne!(next.ordinal, lost.ordinal);
    node_is(&set, &lost.node, false).await;
    set.until_draws_go_on(&others, 3).await;
    set.cluster.mend(undo).await;
    node_is(&set, &lost.node, true).await;
    let back = set.until_ready(3).await;
    assert_eq!(back[usize::from(lost.ordinal)].claim, lost.claim);
    let answers = watch.answers().await;
    watch.delete().await;
    let failed: Vec<_> = answers.iter().filter(|(_, _, body)| body == "failed").collect();
    println!(
        "        {} numbers of the other two members meanwhile, {} failed",
        answers.len(),
        failed.len()
    );
    assert!(answers.len() > 50 && failed.is_empty(), "{failed:?}");
    set.check_chain(&[0, 1, 2]).await;
}

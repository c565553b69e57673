//! The set grows and shrinks.

use std::collections::BTreeMap;

use serde_json::json;

use crate::cluster::until;
use crate::members::volume;
use crate::set::Set;

async fn scale(set: &Set, members: u16) {
    set.kubectl(&["scale", "statefulset/rg", "--replicas", &members.to_string()])
        .await
        .expect_ok();
    set.until_ready(members).await;
    // Who is scaled away leaves DNS at once, and is a peer no more.
    for ordinal in 0..members {
        let knows = async || match set.json(ordinal, "/peers").await? {
            says if says["peers"]
                .as_array()
                .is_some_and(|peers| peers.len() == usize::from(members)) =>
            {
                Ok(())
            }
            says => Err(says.to_string()),
        };
        until(&format!("{members} peers at rg-{ordinal}"), knows).await;
    }
    // Two of the three voters are a majority.
    let all: Vec<u16> = (0..members).collect();
    set.until_draws_go_on(&all, 3).await;
    let contribute = async || match set.json(0, "/draws/latest").await? {
        record
            if record["contributions"]
                .as_array()
                .is_some_and(|given| given.len() == usize::from(members)) =>
        {
            Ok(())
        }
        record => Err(record.to_string()),
    };
    until(&format!("a draw to which all {members} contribute"), contribute).await;
}

pub async fn from_three_to_five_to_two_to_three_claims_are_kept_and_draws_go_on(set: Set) {
    let mut volumes = BTreeMap::new();
    for members in [5, 2, 3] {
        scale(&set, members).await;
        for pod in set.pods().await.unwrap() {
            let found = volume(&set, &pod.claim).await;
            let kept = volumes.entry(pod.claim).or_insert_with(|| found.clone());
            assert_eq!(*kept, found);
        }
    }
    // The claims of all five are there, also of those that are scaled away.
    assert_eq!(volumes.len(), 5);
    for (claim, kept) in &volumes {
        assert_eq!(volume(&set, claim).await, *kept);
    }
    for claim in ["logs-rg-3", "logs-rg-4"] {
        let held = set
            .cluster
            .get(&set.path(&format!("persistentvolumeclaims/{claim}")))
            .await
            .unwrap();
        assert_eq!(held["status"]["phase"], json!("Bound"));
    }
    set.check_chain(&[0, 1, 2]).await;
}

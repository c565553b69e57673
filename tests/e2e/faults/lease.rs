//! The Lease is lost or changed by hand. The newest record is on the volumes of a majority, and they bring it back.

use crate::cluster::until;
use crate::members::volume;
use crate::set::{Holder, Set};

async fn uid(set: &Set) -> String {
    set.lease().await.unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Draws go on, in the same chain, under a greater fence.
async fn goes_on_after(set: &Set, before: &Holder) {
    set.until_draws_go_on(&[0, 1, 2], 2).await;
    let chain = set.check_chain(&[0, 1, 2]).await;
    let last = chain.last().unwrap();
    assert!(last.fence > before.fence, "{} after {}", last.fence, before.fence);
    set.until_undegraded(&[0, 1, 2]).await;
}

pub async fn delete_and_apply_with_the_claims_kept_go_on_with_the_same_chain(set: Set) {
    set.check_chain(&[0, 1, 2]).await;
    let before = set.holder().await;
    let pods = set.pods().await.unwrap();
    let mut volumes = Vec::new();
    for pod in &pods {
        volumes.push(volume(&set, &pod.claim).await);
    }
    let delete = [
        "delete",
        "--kustomize",
        set.folder.to_str().unwrap(),
        "--cascade=foreground",
        "--timeout",
        "90s",
    ];
    set.kubectl(&delete).await.expect_ok();
    assert!(set.pods().await.unwrap().is_empty());
    assert!(set.lease().await.is_err());
    set.apply(&set.plan).await;
    let after = set.until_ready(3).await;
    for ((old, new), kept) in pods.iter().zip(&after).zip(&volumes) {
        assert_ne!(old.uid, new.uid);
        assert_eq!(volume(&set, &new.claim).await, *kept);
    }
    goes_on_after(&set, &before).await;
}

pub async fn a_lease_deleted_alone_and_applied_again_goes_on_with_the_same_chain(set: Set) {
    set.check_chain(&[0, 1, 2]).await;
    let before = set.holder().await;
    let old = uid(&set).await;
    set.kubectl(&["delete", "lease", "random-generator"]).await.expect_ok();
    let nobody = async || {
        for ordinal in 0..3 {
            let says = set.json(ordinal, "/leader").await?;
            if !says["holder"].is_null() || says["self"] == true {
                return Err(says.to_string());
            }
        }
        Ok(())
    };
    until("nobody leads", nobody).await;
    set.apply(&set.plan).await;
    assert_ne!(uid(&set).await, old);
    goes_on_after(&set, &before).await;
}

pub async fn a_lease_whose_annotations_were_damaged_by_hand_goes_on_with_the_same_chain(set: Set) {
    let chain = set.check_chain(&[0, 1, 2]).await;
    let older = chain[chain.len() / 2].canonical();
    let damages: [&[&str]; 4] = [
        &["random-generator/record={\"damaged\": true}"],
        &["random-generator/record-"],
        &["random-generator/record-", "random-generator/fence-"],
        // Set back to what once was true.
        &[&format!("random-generator/record={older}"), "random-generator/fence=1"],
    ];
    for damage in damages {
        let before = set.holder().await;
        println!("        {}", damage.join(" ").chars().take(90).collect::<String>());
        let annotate = [&["annotate", "--overwrite", "lease", "random-generator"], damage].concat();
        set.kubectl(&annotate).await.expect_ok();
        goes_on_after(&set, &before).await;
    }
}

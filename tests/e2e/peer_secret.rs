//! Members that sign what they say to each other.

use serde_json::json;

use crate::cluster::until;
use crate::group::{Group, Start};
use crate::plan::Plan;
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "peer-secret",
        plan: Plan::quick("overlays/secured").with("SHUTDOWN_DELAY", "1s"),
        start: Start::Drawing(3),
        steps: steps![a_member_with_another_peer_secret_is_refused_and_named_and_the_others_go_on],
    }
}

/// Waits for a record with these many contributions and these missing.
async fn until_drawn(set: &Set, contributions: usize, missing: serde_json::Value) {
    let drawn = async || match set.json(0, "/draws/latest").await? {
        record
            if record["contributions"].as_array().map(Vec::len) == Some(contributions)
                && record["missing"] == missing =>
        {
            Ok(())
        }
        record => Err(record.to_string()),
    };
    until(
        &format!("a draw with {contributions} contributions, missing {missing}"),
        drawn,
    )
    .await;
}

async fn change_secret(set: &Set, value: &str) {
    let path = set.path("secrets/random-generator-peer-secret");
    set.cluster
        .patch(&path, &json!({"data": {"secret": value}}))
        .await
        .unwrap();
    let old = set.pod(2).await.unwrap();
    set.delete_pod(2).await;
    set.until_replaced(&old).await;
}

async fn refused(set: &Set, ordinal: u16) -> Result<f64, String> {
    set.metric(ordinal, "peer_messages_refused_total{reason=\"forged\"}")
        .await
}

async fn a_member_with_another_peer_secret_is_refused_and_named_and_the_others_go_on(set: Set) {
    until_drawn(&set, 3, json!([])).await;
    let path = set.path("secrets/random-generator-peer-secret");
    let right = set.cluster.get(&path).await.unwrap()["data"]["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    // Base64 of 32 other bytes. Members read the file once, so only the Pod that is made now has it.
    change_secret(&set, "b3RoZXIgYnl0ZXMgb3RoZXIgYnl0ZXMgb3RoZXIgYnk=").await;
    until_drawn(&set, 2, json!([{"ordinal": 2, "reason": "invalid"}])).await;
    set.until_draws_go_on(&[0, 1], 5).await;
    let holder = set.holder().await;
    assert_ne!(holder.ordinal, 2);
    let counted = async || match refused(&set, 2).await? {
        0.0 => Err("none is counted".to_owned()),
        _ => Ok(()),
    };
    until("refusals, counted", counted).await;
    assert!(set.text(2, "/integers?count=3").await.is_ok());

    change_secret(&set, &right).await;
    until_drawn(&set, 3, json!([])).await;
    set.check_chain(&[0, 1, 2]).await;
}

//! Sets whose ordinals begin elsewhere (`spec.ordinals.start`), and one that is moved there. Each has a prefix of its own.

use std::fs;

use serde_json::json;

use crate::chain::longest_gap;
use crate::cluster::{run, until};
use crate::group::{Group, Start};
use crate::plan::{LEASE, Plan, root};
use crate::set::Set;
use crate::steps;

pub fn group() -> Group {
    Group {
        name: "ordinals",
        plan: Plan::nothing(),
        start: Start::Empty,
        steps: steps![
            a_set_that_starts_at_5_draws_with_the_voters_5_to_7,
            a_lone_member_draws_by_itself_whatever_its_ordinal,
            a_new_set_whose_voters_are_not_its_ordinals_names_both_and_advises_no_new_chain,
            a_set_moved_from_start_0_to_start_3_keeps_its_chain_and_misses_no_slot_beyond_a_lease_time,
        ],
    }
}

fn starting_at(start: u16, replicas: u16) -> Plan {
    Plan {
        spec: Some(json!({"ordinals": {"start": start}, "replicas": replicas})),
        ..Plan::quick("overlays/parallel").with("SHUTDOWN_DELAY", "1s")
    }
}

async fn a_set_that_starts_at_5_draws_with_the_voters_5_to_7(namespace: Set) {
    let plan = starting_at(5, 3).with("VOTERS", "5-7");
    let set = namespace
        .beside(Plan {
            prefix: "five-",
            ..plan
        })
        .await;
    let pods = set.until_ready(3).await;
    let names: Vec<_> = pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["five-rg-5", "five-rg-6", "five-rg-7"]);
    let chain = set.check_chain(&[5, 6, 7]).await;
    assert!(chain.iter().all(|record| record.voters.to_string() == "5-7"));
    set.until_undegraded(&[5, 6, 7]).await;
    set.delete().await;
}

async fn a_lone_member_draws_by_itself_whatever_its_ordinal(namespace: Set) {
    let mut plan = starting_at(5, 1);
    let without = |name: &str| json!({"name": format!("RANDOM_GENERATOR_{name}"), "$patch": "delete"});
    let env = [without("GOVERNING_SERVICE"), without("VOTERS")];
    plan.pod = Some(json!({"containers": [{"name": "member", "env": env}]}));
    let set = namespace
        .beside(Plan {
            prefix: "lone-",
            ..plan
        })
        .await;
    set.until_ready(1).await;
    let chain = set.check_chain(&[5]).await;
    assert!(chain.iter().all(|record| record.voters.to_string() == "5-5"));
    set.until_undegraded(&[5]).await;
    set.delete().await;
}

async fn a_new_set_whose_voters_are_not_its_ordinals_names_both_and_advises_no_new_chain(namespace: Set) {
    let set = namespace
        .beside(Plan {
            prefix: "one-",
            ..starting_at(1, 3)
        })
        .await;
    set.until_ready(3).await;
    for ordinal in 1..4 {
        let told = async || match set.degraded(ordinal, "peers").await? {
            Some(reason) if reason.contains("2 of 3 voters") && reason.contains("(missing: ordinal 0)") => Ok(reason),
            other => Err(format!("{other:?}")),
        };
        let reason = until(&format!("{} lacks a voter", set.member(ordinal)), told).await;
        let words = ["--voters is 3", "published ordinals are 1-3", "spec.ordinals.start"];
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
        assert!(set.text(ordinal, "/integers?count=3").await.is_ok());
    }
    let holder = set.holder().await;
    let told = async || {
        set.degraded(holder.ordinal, "draw")
            .await?
            .ok_or("not degraded".to_owned())
    };
    let reason = until("why the holder doesn't draw", told).await;
    println!("        draw: {reason}");
    assert!(
        reason.contains("a first chain needs every voter (missing: ordinal 0)"),
        "{reason}"
    );
    for ordinal in 1..4 {
        let says = set.json(ordinal, "/readyz").await.unwrap().to_string();
        assert!(
            !says.contains("new chain") && !says.contains("ledger restart"),
            "{says}"
        );
        assert_eq!(set.round(ordinal).await, Ok(0));
    }
    set.delete().await;
}

/// By the verifier that shares no code with the members.
async fn verify_independently(set: &Set, ordinal: u16) {
    let lines = set.text(ordinal, "/draws?format=jsonl").await.unwrap();
    let file = set.folder.join("draws.jsonl");
    fs::write(&file, lines).unwrap();
    let verifier = root().join("verify_draws.py");
    let arguments = [verifier.to_str().unwrap(), file.to_str().unwrap()];
    run("python3", &arguments).await.expect_ok();
}

async fn a_set_moved_from_start_0_to_start_3_keeps_its_chain_and_misses_no_slot_beyond_a_lease_time(namespace: Set) {
    let old = Plan {
        prefix: "moved-",
        ..starting_at(0, 3)
    };
    let set = namespace.beside(old.clone()).await;
    set.until_ready(3).await;
    let before = set.check_chain(&[0, 1, 2]).await;

    let six = Plan {
        spec: starting_at(0, 6).spec,
        ..old.clone()
    };
    set.apply(&six).await;
    set.until_ready(6).await;
    set.check_chain(&[0, 1, 2, 3, 4, 5]).await;

    set.apply(&six.with("VOTERS", "3-5")).await;
    set.until_ready(6).await;
    let voted = async || match set.json(0, "/draws/latest").await? {
        record if record["voters"] == "3-5" => Ok(()),
        record => Err(record["voters"].to_string()),
    };
    until("a draw of the voters 3 to 5", voted).await;
    set.until_draws_go_on(&[0, 1, 2, 3, 4, 5], 1).await;

    set.apply(&Plan {
        prefix: "moved-",
        ..starting_at(3, 3).with("VOTERS", "3-5")
    })
    .await;
    let pods = set.until_ready(3).await;
    let names: Vec<_> = pods.iter().map(|pod| pod.name.as_str()).collect();
    assert_eq!(names, ["moved-rg-3", "moved-rg-4", "moved-rg-5"]);
    set.until_draws_go_on(&[3, 4, 5], 3).await;
    let after = set.check_chain(&[3, 4, 5]).await;
    assert_eq!(after[..before.len()], before[..]);
    let gap = longest_gap(&after, before.len() as u64);
    println!(
        "        {} rounds, at most {gap} s between two draws of which one is due each second",
        after.len()
    );
    assert!(gap <= LEASE.as_secs() + 1, "{gap} s without a draw");
    for ordinal in [3, 4, 5] {
        verify_independently(&set, ordinal).await;
    }
    set.until_undegraded(&[3, 4, 5]).await;
    set.delete().await;
}

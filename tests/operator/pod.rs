//! What a Pod is told of itself: its UID is in the lease, and all of it in the first log lines.

use crate::harness::{Member, until, volume};

#[test]
fn what_a_pod_knows_of_itself_is_in_its_lease_and_in_its_log() {
    let (_directory, volume) = volume();
    let uid = "0b6f2a3e-3c53-4c5a-9d0c-6f6f5a5c2d11";
    let told = ["--pod-uid", uid, "--pod-ip", "10.1.2.3", "--node-name", "node-7"];
    let member = Member::start(&volume, &told);
    let holder = until("a holder", || {
        member.json("/leader")["holder"].as_str().map(str::to_owned)
    });
    assert!(holder.starts_with(&format!("rg-0_{uid}-")), "{holder}");
    let log = member.log();
    let line = log
        .lines()
        .find(|line| line.contains("node-7"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("10.1.2.3") && line.contains(uid), "{line}");
}

//! What someone with the cluster's machines in hand can break; one after the other on a set whose chain must hold through it all.

mod api_server;
mod lease;
mod nodes;
mod processes;
mod surroundings;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::cluster::every;
use crate::group::{Group, Start, Step};
use crate::plan::{LEASE, Plan};
use crate::steps;

/// First what breaks no more than its own set, then what breaks the cluster for everyone.
pub fn phases() -> Vec<Vec<Group>> {
    let own = vec![
        group(
            "killed",
            steps![processes::a_holder_that_is_killed_is_followed_within_the_bound_ten_times],
        ),
        group(
            "broken",
            steps![
                processes::a_holder_stopped_past_its_lease_and_continued_conducts_nothing_on_it,
                lease::delete_and_apply_with_the_claims_kept_go_on_with_the_same_chain,
                lease::a_lease_deleted_alone_and_applied_again_goes_on_with_the_same_chain,
                lease::a_lease_whose_annotations_were_damaged_by_hand_goes_on_with_the_same_chain,
                surroundings::a_disk_that_is_filled_and_freed_costs_journalling_and_never_draws_or_readiness,
            ],
        ),
    ];
    let everyones = group(
        "faults",
        steps![
            surroundings::with_coredns_scaled_to_zero_numbers_and_draws_go_on_and_its_return_heals,
            api_server::an_api_server_frozen_for_30_s_costs_no_number_and_no_restart_and_leadership_comes_back,
            api_server::an_api_server_that_refuses_costs_no_number_and_no_restart_and_leadership_comes_back,
            api_server::an_api_server_that_is_restarted_costs_no_number_and_no_restart_and_somebody_leads_after,
            nodes::a_holder_whose_node_is_cut_off_conducts_nothing_and_serves_numbers_and_another_leads,
            nodes::a_pod_force_deleted_while_its_old_process_runs_on_a_node_cut_off_is_one_chain_one_owner_of_the_volume_and_no_id_twice,
            nodes::a_node_killed_and_revived_costs_the_others_nothing_and_its_member_comes_back,
        ],
    );
    vec![own, vec![everyones]]
}

fn group(name: &'static str, steps: Vec<Step>) -> Group {
    Group {
        name,
        plan: Plan::quick("overlays/kind")
            .with("DRAW_SCHEDULE", "@every 2s")
            .with("SHUTDOWN_DELAY", "1s"),
        start: Start::Drawing(3),
        steps,
    }
}

/// How long the holder leads after its last renewal: its renew deadline, by default two thirds of the duration.
const RENEW_DEADLINE: Duration = Duration::from_millis(LEASE.as_millis() as u64 * 2 / 3);

fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Lets time pass in a state that nothing can be asked of.
async fn for_as_long_as(duration: Duration) {
    let began = Instant::now();
    let over = async || (began.elapsed() >= duration).then_some(()).ok_or("not yet");
    every(Duration::from_millis(200), duration * 2, "time to pass", over).await;
}

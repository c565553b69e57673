//! `leader`: who holds the lease, as one member sees it.

use serde::Deserialize;

use super::Failure;
use super::console::Console;
use super::target::OneMember;

#[derive(Deserialize)]
struct Leader {
    holder: Option<String>,
    member: Option<String>,
    fence: u64,
    acquired_at: Option<String>,
    remaining_ms: Option<u64>,
}

/// Writes the holder, or that there is none.
///
/// # Errors
/// Try again: the member can't be reached. Data: its answer is malformed.
pub async fn run(args: &OneMember, console: &mut Console<'_>) -> Result<(), Failure> {
    args.run("/leader", console, show).await
}

fn show(console: &Console<'_>, leader: Leader) -> String {
    let Some(holder) = leader.holder else {
        return format!("no member holds the lease (fence {})\n", leader.fence);
    };
    let remaining = match leader.remaining_ms {
        Some(0) => "expired".to_owned(),
        Some(ms) => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        None => "unknown".to_owned(),
    };
    let row = vec![
        leader.member.unwrap_or_default(),
        leader.fence.to_string(),
        leader.acquired_at.unwrap_or_default(),
        remaining,
        holder,
    ];
    console.table(&["MEMBER", "FENCE", "ACQUIRED", "REMAINING", "IDENTITY"], &[row])
}

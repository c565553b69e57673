//! `leader`: who holds the lease, as one member sees it.

use serde::Deserialize;

use super::Failure;
use super::console::Console;
use super::target::{OneMember, Resolve};

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
pub async fn run(args: &OneMember, resolve: &Resolve, console: &mut Console<'_>) -> Result<(), Failure> {
    let member = args.member(resolve).await?;
    let (json, leader): (_, Leader) = member.get_json("/leader").await?;
    if args.json {
        console.put(&(json + "\n"))?;
        return Ok(());
    }
    let Some(holder) = leader.holder else {
        console.put(&format!("no member holds the lease (fence {})\n", leader.fence))?;
        return Ok(());
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
    let text = console.table(&["MEMBER", "FENCE", "ACQUIRED", "REMAINING", "IDENTITY"], &[row]);
    console.put(&text)?;
    Ok(())
}

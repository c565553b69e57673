//! Random numbers: [`random`] is where they come from, one generator a thread; [`distributions`],
//! [`distinct`] and [`decimals`] are what is made of them; [`timed_uuids`] ascend from one request to the next;
//! [`java_random`] repeats Java's; [`ids`] makes unique ones from the member's ordinal.

pub mod decimals;
pub mod distinct;
pub mod distributions;
pub mod ids;
pub mod java_random;
pub mod random;
pub mod timed_uuids;

//! Random numbers: [`random`] is where they come from, one generator a thread; [`distributions`],
//! [`distinct`] and [`decimals`] are what is made of them;
//! [`java_random`] repeats Java's; [`ids`] makes unique ones from the member's ordinal.

pub mod decimals;
pub mod distinct;
pub mod distributions;
pub mod ids;
pub mod java_random;
pub mod random;

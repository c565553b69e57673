//! Random numbers: [`random`] is where they come from, one generator a thread; [`distributions`] is what is made of them;
//! [`java_random`] repeats Java's; [`ids`] makes unique ones from the member's ordinal.

pub mod distributions;
pub mod ids;
pub mod java_random;
pub mod random;

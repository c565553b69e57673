//! Random numbers: [`random`] draws them, from one generator a thread; [`ids`] makes unique ones from the member's ordinal.

pub mod ids;
pub mod random;

//! What the store promises while servers are killed, paused, cut off or replaced under it. Every test reads the result
//! from the servers themselves, and the two ways in which a store is easily wrong are shown to be found: the same
//! scenarios fail for a store that makes those mistakes.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests, which also tell how long a recovery took"
)]

mod naive;
mod replica_set;
mod standalone;
mod traps;
mod workload;

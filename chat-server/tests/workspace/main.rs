//! What holds for the repository as a whole: what it is built from, how its sources
//! are kept, and that its documents tell the truth about files and tests.
//!
//! What single crates do is tested beside them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod documents;
mod files;
mod graph;
mod manifests;
mod security;
mod sources;

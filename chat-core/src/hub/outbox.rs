//! Frames on their way to one connection.
/// Placeholder.
#[derive(Debug, Default)]
pub struct Outbox;
/// Placeholder.
#[derive(Debug, Default)]
pub struct Batch;

//! The hub of a single node.
/// Placeholder.
#[derive(Debug, Default)]
pub struct LocalHub;

//! The machine that makes a migration resumable: commands and batches, changes that can be made twice, how far it
//! has come. Knows nothing of what is migrated.

pub(crate) mod change;
pub(crate) mod checkpoint;
pub(crate) mod link;
pub(crate) mod work;

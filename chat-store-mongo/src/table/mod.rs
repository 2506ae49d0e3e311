//! The collections: their names, and one file for what becomes of the rows of each. Reads and writes nothing by itself.

pub(crate) mod accounts;
pub(crate) mod conversations;
pub(crate) mod entries;
pub(crate) mod members;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod sessions;

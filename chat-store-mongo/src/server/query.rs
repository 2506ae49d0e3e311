//! Commands that find rows, each in one reply.

use mongodb::bson::{Document, doc};

/// Finds the one row that `filter` describes by a unique key.
pub(crate) fn find_one(collection: &str, filter: Document) -> Document {
    doc! { "find": collection, "filter": filter, "limit": 1, "singleBatch": true }
}

/// Finds the first `limit` rows in the order of `sort`; none for a `limit` of 0 has to be the caller's answer.
/// The batch is as large as the page: a server's own first batch ends after 101 rows.
pub(crate) fn find_page(collection: &str, filter: Document, sort: Document, limit: usize) -> Document {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    doc! {
        "find": collection,
        "filter": filter,
        "sort": sort,
        "limit": limit,
        "batchSize": limit,
        "singleBatch": true,
    }
}

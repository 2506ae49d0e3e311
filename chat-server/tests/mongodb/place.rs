//! A database beside the server that uses it, as its operator sees it.

use chat_testkit::mongod::{FreshDatabase, shared};
use mongodb::bson::{Bson, Document, doc};
use mongodb::{Client, Database};

use crate::support::{Builder, Ended, Server};

/// A database on the shared server, with a look at what is in it.
pub(crate) struct Place {
    fresh: FreshDatabase,
    pub(crate) database: Database,
}

impl Place {
    /// A new and empty one.
    pub(crate) async fn new() -> Self {
        let fresh = shared().await.fresh_database();
        let database = Client::with_uri_str(fresh.uri()).await.unwrap().database(fresh.name());
        Self { fresh, database }
    }

    /// One that a server has laid out.
    pub(crate) async fn laid_out() -> Self {
        let place = Self::new().await;
        place.server().start();
        place
    }

    /// A server on it, to configure.
    pub(crate) fn server(&self) -> Builder {
        on(self.fresh.uri(), self.fresh.name())
    }

    /// The name of every collection, and a checksum of everything in it and of its indexes.
    pub(crate) async fn contents(&self) -> String {
        contents(&self.database).await
    }
}

/// A server on this database, to configure.
pub(crate) fn on(uri: &str, database: &str) -> Builder {
    Server::with().set("store", "mongodb").set("mongodb_uri", uri).set("mongodb_database", database)
}

/// The name of every collection of a database, its indexes, and a checksum of everything in it.
pub(crate) async fn contents(database: &Database) -> String {
    let mut names = database.list_collection_names().await.unwrap();
    names.sort();
    let mut found = Vec::new();
    for name in &names {
        let listed = database.run_command(doc! { "listIndexes": name }).await.unwrap();
        found.push(format!("{name}: {}", listed.get_document("cursor").unwrap().get("firstBatch").unwrap()));
    }
    let hashes = database.run_command(doc! { "dbHash": 1 }).await.unwrap();
    format!("{found:#?} {}", hashes.get_str("md5").unwrap())
}

/// The documents of a batch that the server answers.
pub(crate) fn documents(batch: &[Bson]) -> Vec<Document> {
    batch.iter().map(|one| one.as_document().unwrap().clone()).collect()
}

/// The only thing that a server which refuses says of it.
pub(crate) fn complaint(ended: &Ended) -> String {
    let lines: Vec<&str> = ended.log.lines().filter(|line| line.starts_with("chat-server: ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.log);
    assert_eq!(ended.log.lines().last(), Some(lines[0]), "and nothing after it: {}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    assert_eq!(ended.output, "");
    lines[0].to_owned()
}

//! Opening a database: what the servers are, whether the data is ours, and whether its indexes are there.
//!
//! Nothing is written before everything was checked, and then only to a database that holds nothing.

pub(crate) mod epoch;
pub(crate) mod index;
mod name_keys;

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use mongodb::error::ErrorKind;
use tokio::time::Instant;

use self::epoch::new_epoch;
use self::index::{INDEXES, Index, is_in_the_way};
use crate::config::MongoConfig;
use crate::server::database::{Database, Deployment, barrier_command};
use crate::server::error::{CallError, OLDEST_SERVER, OpenError};
use crate::server::explain;
use crate::server::reply::{WriteReply, number};
use crate::table::schema::{
    CHATS, EPOCH_ROW, MESSAGES, META, MIGRATION_ROW, ROOMS, SCHEMA_ROW, USERS, VERSION,
};

/// How long one command may take while a database is opened. Building an index takes longer.
const COMMAND: Duration = Duration::from_secs(10);
const INDEX_BUILD: Duration = Duration::from_secs(3_600);
/// How long to wait before a command is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// The code of "what a majority has is not known yet".
const NO_MAJORITY_YET: i32 = 134;
/// [`OLDEST_SERVER`], to compare with.
const OLDEST: [u64; 2] = [4, 4];
/// The oldest version that is still looked after.
const MAINTAINED: [u64; 2] = [6, 0];
/// The first release of each line in which strangers cannot read the server's memory any more (CVE-2025-14847).
const MENDED: [[u64; 3]; 6] = [[4, 4, 30], [5, 0, 32], [6, 0, 27], [7, 0, 28], [8, 0, 17], [8, 2, 3]];

/// A database that can be used.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) epoch: String,
    /// What its operator should know.
    pub(crate) warnings: Vec<String>,
}

/// Connects and finds out what the servers are. Reads nothing of the database.
pub(crate) async fn connect(config: &MongoConfig) -> Result<(Database, Vec<String>), OpenError> {
    let uri_error = |error: mongodb::error::Error| explain::uri(&config.uri, &error);
    let options = config.client_options().await.map_err(uri_error)?;
    if config.database.is_empty() || config.database.contains(['/', '\\', '.', ' ', '"', '$', '\0']) {
        return Err(OpenError::Uri(format!("{:?} is no name of a database", config.database)));
    }
    let client = Client::with_options(options).map_err(uri_error)?;
    let database = Database::new(client.clone(), &config.database, Deployment::Standalone);
    let outcome = inspect(&database).await;
    if outcome.is_err() {
        database.close().await;
    }
    let (deployment, warnings) = outcome?;
    Ok((Database::new(client, &config.database, deployment), warnings))
}

/// What the servers are, and what is to be said about them.
async fn inspect(database: &Database) -> Result<(Deployment, Vec<String>), OpenError> {
    let hello = ask(database, doc! { "hello": 1 }).await.or_else(older_server)?;
    let info = ask(database, doc! { "buildInfo": 1 }).await?;
    let mut warnings = version_warnings(&info)?;
    let is_router = hello.get_str("msg").is_ok_and(|what| what == "isdbgrid");
    let is_member = hello.contains_key("setName");
    if !is_router && !is_member {
        warnings.push("MongoDB is a single server: what is stored is durable on one disk only".to_owned());
        return Ok((Deployment::Standalone, warnings));
    }
    if is_member {
        check_replica_set(database, &hello, &mut warnings).await?;
    }
    Ok((if is_router { Deployment::Routed } else { Deployment::Replicated }, warnings))
}

/// Connects, checks that the data is ours, and lays out a database that is empty.
pub(crate) async fn open(config: &MongoConfig) -> Result<Opened, OpenError> {
    let (database, warnings) = connect(config).await?;
    let epoch = async {
        if !is_ours(&database, config).await? {
            lay_out(&database).await?;
        }
        let epoch = epoch_of(&database).await?;
        name_keys::renew(&database).await?;
        Ok(epoch)
    };
    opened(epoch.await, &database, warnings).await
}

/// Connects and checks that the data is ours. Lays out nothing.
pub(crate) async fn open_existing(config: &MongoConfig) -> Result<Opened, OpenError> {
    let (database, warnings) = connect(config).await?;
    let epoch = async {
        if !is_ours(&database, config).await? {
            return Err(OpenError::Missing { database: config.database.clone() });
        }
        epoch_of(&database).await
    };
    opened(epoch.await, &database, warnings).await
}

/// A database that has an epoch can be used; of any other one nothing is left running.
async fn opened(
    epoch: Result<String, OpenError>,
    database: &Database,
    warnings: Vec<String>,
) -> Result<Opened, OpenError> {
    match epoch {
        Ok(epoch) => Ok(Opened { database: database.clone(), epoch, warnings }),
        Err(error) => {
            database.close().await;
            Err(error)
        }
    }
}

/// Whether the database has our format and indexes; not, if it holds nothing. All others are refused.
async fn is_ours(database: &Database, config: &MongoConfig) -> Result<bool, OpenError> {
    match schema_version(database).await? {
        Some(VERSION) => check_indexes(database).await.map(|()| true),
        Some(found) => Err(OpenError::Newer { database: config.database.clone(), found, known: VERSION }),
        None => refuse_foreign(database, config).await.map(|()| false),
    }
}

/// The epoch of a database of ours that may be written. Nothing is written where there is none.
async fn epoch_of(database: &Database) -> Result<String, OpenError> {
    stored_epoch(database).await?;
    // Proves that the server is the primary, and not one that does not know yet of a newer epoch.
    check_writing(database).await?;
    stored_epoch(database).await
}

async fn stored_epoch(database: &Database) -> Result<String, OpenError> {
    let epoch = meta_row(database, EPOCH_ROW).await?;
    let epoch = epoch.as_ref().and_then(|row| row.get_str("value").ok());
    epoch.map(str::to_owned).ok_or_else(|| OpenError::Damaged("the epoch is missing from meta".to_owned()))
}

/// Creates all indexes that are not there. Harmless when they are.
pub(crate) async fn create_indexes(database: &Database, indexes: &[Index]) -> Result<(), OpenError> {
    for of_collection in indexes.chunk_by(|one, other| one.collection == other.collection) {
        let Some(first) = of_collection.first() else { continue };
        let definitions: Vec<Document> = of_collection.iter().map(Index::definition).collect();
        let mut command = doc! { "createIndexes": first.collection, "indexes": definitions };
        command.insert("writeConcern", database.write_concern(INDEX_BUILD));
        acknowledged(&ask_within(database, command, INDEX_BUILD).await?)?;
    }
    Ok(())
}

/// Writes the rows by which the database is known to be ours. The last step of laying out or migrating.
pub(crate) async fn seal(database: &Database) -> Result<(), OpenError> {
    // Rows of another node that did the same a moment earlier are as good.
    for (id, value) in [(EPOCH_ROW, Bson::String(new_epoch())), (SCHEMA_ROW, Bson::Int64(VERSION))] {
        let update = doc! { "q": { "_id": id }, "u": { "$setOnInsert": { "value": value } }, "upsert": true };
        let reply = ask_durably(database, doc! { "update": META, "updates": [update] }).await?;
        if WriteReply::read(&reply).row_error.is_none_or(|error| !error.is_duplicate()) {
            acknowledged(&reply)?;
        }
    }
    // That a row exists does not say that it is durable; a write after it that is says so.
    check_writing(database).await
}

async fn lay_out(database: &Database) -> Result<(), OpenError> {
    create_indexes(database, &INDEXES).await?;
    seal(database).await
}

/// The version of the format; `None` in a database that is not ours yet.
pub(crate) async fn schema_version(database: &Database) -> Result<Option<i64>, OpenError> {
    Ok(meta_row(database, SCHEMA_ROW).await?.map(|row| number(&row, "value")))
}

/// Whether rows of another chat system are there.
async fn refuse_foreign(database: &Database, config: &MongoConfig) -> Result<(), OpenError> {
    if meta_row(database, MIGRATION_ROW).await?.is_some() {
        return Err(OpenError::MigrationUnfinished { database: config.database.clone() });
    }
    let mut found = Vec::new();
    for collection in [USERS, ROOMS, CHATS, MESSAGES] {
        if !first_batch(&ask(database, doc! { "find": collection, "limit": 1, "singleBatch": true }).await?)
            .is_empty()
        {
            found.push(collection.to_owned());
        } else if indexes_of(database, collection).await?.iter().any(|index| is_in_the_way(collection, index))
        {
            found.push(format!("indexes of {collection}"));
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(OpenError::NotMigrated { database: config.database.clone(), found: found.join(", ") })
}

/// Whether we may write, and what is written becomes durable here.
async fn check_writing(database: &Database) -> Result<(), OpenError> {
    acknowledged(&ask_durably(database, barrier_command()).await?)
}

async fn check_indexes(database: &Database) -> Result<(), OpenError> {
    for index in &INDEXES {
        let found = indexes_of(database, index.collection).await?;
        let found = found.iter().find(|found| found.get_str("name").is_ok_and(|name| name == index.name));
        let problem = match found {
            Some(found) => index.fault_of(found),
            None => Some("is missing".to_owned()),
        };
        if let Some(problem) = problem {
            return Err(OpenError::Index { collection: index.collection, index: index.name, problem });
        }
    }
    Ok(())
}

/// The indexes of a collection. One that does not exist has none, and neither has a view.
async fn indexes_of(database: &Database, collection: &str) -> Result<Vec<Document>, OpenError> {
    let command = doc! { "listIndexes": collection };
    match database.command(raw(&command)?, COMMAND).await {
        Ok(reply) => Ok(first_batch(&reply)),
        Err(CallError::Refused(error)) if matches!(code_of(&error), Some(26 | 166)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) async fn meta_row(database: &Database, id: &str) -> Result<Option<Document>, OpenError> {
    let command = doc! { "find": META, "filter": { "_id": id }, "limit": 1, "singleBatch": true };
    Ok(rows(database, command).await?.into_iter().next())
}

/// What a `find` command finds of what is durable.
pub(crate) async fn rows(database: &Database, mut command: Document) -> Result<Vec<Document>, OpenError> {
    let level = match database.deployment() {
        Deployment::Standalone => "local",
        Deployment::Replicated | Deployment::Routed => "majority",
    };
    command.insert("readConcern", doc! { "level": level });
    let command = raw(&command)?;
    let began = Instant::now();
    loop {
        match database.command(command.clone(), COMMAND).await {
            // A server that has just begun does not know yet what a majority has.
            Err(CallError::Unknown(error))
                if code_of(&error) == Some(NO_MAJORITY_YET) && began.elapsed() < COMMAND =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            reply => return Ok(first_batch(&reply?)),
        }
    }
}

async fn check_replica_set(
    database: &Database,
    hello: &Document,
    warnings: &mut Vec<String>,
) -> Result<(), OpenError> {
    if hello.get_array("arbiters").is_ok_and(|arbiters| !arbiters.is_empty()) {
        warnings.push(
            "the replica set has an arbiter: while one of its other members is down, nothing is acknowledged"
                .to_owned(),
        );
    }
    // Users that may only read and write the database cannot ask this. Writes then still wait for journals.
    let command = raw(&doc! { "replSetGetConfig": 1 })?;
    let Ok(reply) = database.admin_command(command, COMMAND).await else { return Ok(()) };
    let is_journaled = reply
        .get_document("config")
        .and_then(|config| config.get_bool("writeConcernMajorityJournalDefault"))
        .unwrap_or(true);
    if is_journaled { Ok(()) } else { Err(OpenError::NotJournaled) }
}

fn version_warnings(info: &Document) -> Result<Vec<String>, OpenError> {
    let found = info.get_str("version").unwrap_or("of an unknown version").to_owned();
    let parts: Vec<u64> =
        found.split(['.', '-']).map_while(|part| part.parse().ok()).chain([0, 0, 0]).take(3).collect();
    let line = [parts[0], parts[1]];
    if line < OLDEST {
        return Err(OpenError::ServerTooOld { found, needed: OLDEST_SERVER });
    }
    let mut warnings = Vec::new();
    if line < MAINTAINED {
        warnings.push(format!("MongoDB {found} is no longer maintained; upgrade it to 6.0 or newer"));
    }
    if MENDED.iter().any(|mended| mended[..2] == line && parts[2] < mended[2]) {
        warnings.push(format!(
            "MongoDB {found} lets anybody who reaches its port read parts of its memory (CVE-2025-14847); upgrade it"
        ));
    }
    Ok(warnings)
}

/// Servers before 4.4.2 do not know `hello`; they are too old, and the next question says so.
fn older_server(error: OpenError) -> Result<Document, OpenError> {
    match error {
        OpenError::Refused(_) => Ok(Document::new()),
        other => Err(other),
    }
}

async fn ask(database: &Database, command: Document) -> Result<Document, OpenError> {
    ask_within(database, command, COMMAND).await
}

/// Answers when what the command writes is durable, or says so in the reply.
pub(crate) async fn ask_durably(database: &Database, mut command: Document) -> Result<Document, OpenError> {
    command.insert("writeConcern", database.write_concern(COMMAND));
    ask(database, command).await
}

async fn ask_within(database: &Database, command: Document, within: Duration) -> Result<Document, OpenError> {
    Ok(database.command(raw(&command)?, within).await?)
}

pub(crate) fn acknowledged(reply: &Document) -> Result<(), OpenError> {
    let reply = WriteReply::read(reply);
    match (reply.row_error, reply.concern_error) {
        (None, None) => Ok(()),
        (Some(error), _) => Err(OpenError::Refused(error.message)),
        (None, Some(error)) => Err(OpenError::Unreachable(error.to_string())),
    }
}

fn raw(command: &Document) -> Result<RawDocumentBuf, OpenError> {
    RawDocumentBuf::try_from(command).map_err(|error| OpenError::Refused(error.to_string()))
}

fn first_batch(reply: &Document) -> Vec<Document> {
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    batch.into_iter().flatten().filter_map(Bson::as_document).cloned().collect()
}

fn code_of(error: &mongodb::error::Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(refused) => Some(refused.code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use chat_testkit::mongod::{Mongod, shared_replica_set};

    use super::*;

    const CHAT: &str = "chat";

    /// Another node has sealed the database, and nobody knows whether that is durable.
    #[tokio::test]
    async fn a_mongodb_database_is_not_sealed_by_rows_that_nobody_knows_to_be_durable() {
        let server = Mongod::start().await;
        let (database, _) = connect(&MongoConfig::new(server.uri(), CHAT)).await.unwrap();
        // Stands for the other node's row: whoever inserts this one is told that it exists.
        let index = doc! { "key": { "value": 1 }, "name": "value", "unique": true };
        ask(&database, doc! { "createIndexes": META, "indexes": [index] }).await.unwrap();
        let row = doc! { "_id": "another", "value": VERSION };
        ask(&database, doc! { "insert": META, "documents": [row] }).await.unwrap();
        seal(&database).await.unwrap();
        let error = doc! { "code": 64, "errmsg": "no majority" };
        let data = doc! { "failCommands": ["update"], "writeConcernError": error };
        let fail = doc! { "configureFailPoint": "failCommand", "mode": { "skip": 1 }, "data": data };
        server.run_command(fail).await.unwrap();
        let error = seal(&database).await.unwrap_err();
        assert!(matches!(error, OpenError::Unreachable(_)), "{error:?}");
        database.close().await;
    }

    #[tokio::test]
    async fn what_opening_a_mongodb_replica_set_finds_is_durable() {
        let fresh = shared_replica_set().await.fresh_database();
        let config = MongoConfig::new(fresh.uri(), fresh.name());
        open(&config).await.unwrap().database.close().await;
        let beside = mongodb::Client::with_uri_str(fresh.uri()).await.unwrap().database(fresh.name());
        beside.run_command(doc! { "profile": 2 }).await.unwrap();
        open(&config).await.unwrap().database.close().await;
        beside.run_command(doc! { "profile": 0 }).await.unwrap();
        let entries = beside.collection::<Document>("system.profile");
        let of_meta = |field: &str| doc! { "ns": format!("{}.{META}", fresh.name()), field: META };
        assert!(entries.count_documents(of_meta("command.find")).await.unwrap() >= 2, "version and epoch");
        let mut not_durable = of_meta("command.find");
        not_durable.insert("command.readConcern.level", doc! { "$ne": "majority" });
        assert_eq!(entries.find_one(not_durable).await.unwrap(), None);
    }

    fn warnings(version: &str) -> Vec<String> {
        version_warnings(&doc! { "version": version }).unwrap()
    }

    #[test]
    fn servers_that_are_too_old_are_refused_and_unmaintained_ones_warned_about() {
        for version in ["4.2.24", "3.6.0", "4.0.28"] {
            let error = version_warnings(&doc! { "version": version }).unwrap_err();
            assert!(error.to_string().contains("needs MongoDB 4.4"), "{error}");
        }
        assert_eq!(warnings("5.0.32").len(), 1);
        assert!(warnings("6.0.27").is_empty());
        assert!(warnings("8.0.17-rc1").is_empty());
    }

    #[test]
    fn sec_77_servers_that_leak_their_memory_are_warned_about() {
        for version in ["4.4.29", "5.0.31", "6.0.5", "7.0.27", "8.0.16", "8.2.2"] {
            assert!(warnings(version).iter().any(|text| text.contains("CVE-2025-14847")), "{version}");
        }
        for version in ["6.0.27", "7.0.28", "8.0.17", "8.2.3", "9.0.0"] {
            assert!(warnings(version).is_empty(), "{version}");
        }
    }
}

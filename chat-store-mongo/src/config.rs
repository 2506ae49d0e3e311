//! What a store needs to know to open its database.

use std::fmt;
use std::time::Duration;

/// How long one read may take, all attempts together.
pub(crate) const READ_DEADLINE: Duration = Duration::from_secs(4);
/// How long one write may take, all attempts together. Below the engine's own deadline, so that the store's
/// answer, which knows more, arrives first.
pub(crate) const WRITE_DEADLINE: Duration = Duration::from_millis(4_500);
/// How long a server waits for the majority before it says that it does not know.
pub(crate) const MAJORITY_WAIT: Duration = Duration::from_millis(2_500);
/// How long to look for a server that can take a command.
const SERVER_SELECTION: Duration = Duration::from_millis(2_500);
const CONNECT: Duration = Duration::from_secs(2);
/// How often each server is asked how it is. One that says nothing for this and the time to connect is given up; until
/// then a paused primary is still asked for everything.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Connections to each server. Appends use two of them, everything else shares the rest.
const CONNECTIONS: u32 = 32;

/// Where the database is.
#[derive(Clone)]
pub struct MongoConfig {
    /// The connection string: `mongodb://…` or `mongodb+srv://…`. May hold a password; never shown.
    pub uri: String,
    /// The database in which everything is kept.
    pub database: String,
}

impl MongoConfig {
    /// The database `database` at `uri`.
    #[must_use]
    pub fn new(uri: impl Into<String>, database: impl Into<String>) -> Self {
        Self { uri: uri.into(), database: database.into() }
    }

    /// Reads the connection string and sets what this store relies on.
    pub(crate) async fn client_options(&self) -> mongodb::error::Result<mongodb::options::ClientOptions> {
        let mut options = mongodb::options::ClientOptions::parse(&self.uri).await?;
        options.app_name.get_or_insert_with(|| "chat-store-mongo".to_owned());
        // A command that the driver sends again by itself would outlive the deadline of its caller.
        options.retry_writes = Some(false);
        options.retry_reads = Some(false);
        options.server_selection_timeout.get_or_insert(SERVER_SELECTION);
        options.connect_timeout.get_or_insert(CONNECT);
        options.heartbeat_freq.get_or_insert(HEARTBEAT);
        options.max_pool_size.get_or_insert(CONNECTIONS);
        Ok(options)
    }
}

impl fmt::Debug for MongoConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoConfig").field("database", &self.database).finish_non_exhaustive()
    }
}

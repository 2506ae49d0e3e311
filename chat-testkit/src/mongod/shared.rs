//! The one server, and the one replica set, of a test program, for tests that only need a database of their own.

use std::sync::OnceLock;
use std::time::Duration;

use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use tokio::runtime::Runtime;

use super::program::environment;
use super::replica_set::{ReplicaSet, ReplicaSetOptions};
use super::server::{Mongod, random_name, resume};

/// How long a server may take to remove a database; one that has gone, or is cut off, keeps it.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(5);

/// Names a server that runs already.
const GIVEN: &str = "CHAT_TEST_MONGODB_URI";

/// A standalone server that all tests of a program share: the one that `CHAT_TEST_MONGODB_URI` names, or a [`Mongod`].
#[derive(Debug)]
pub struct SharedMongod {
    uri: String,
    /// Ends with the process: its watchdog sees to that.
    _own: Option<Mongod>,
}

/// The shared server. The first call starts it; every later one, on whatever runtime, gets the same.
///
/// # Panics
/// If it cannot be started or does not answer; the message says why and what can be done.
pub async fn shared() -> &'static SharedMongod {
    static SHARED: OnceLock<Result<SharedMongod, String>> = OnceLock::new();
    match once(&SHARED, SharedMongod::start()).await {
        Ok(shared) => shared,
        Err(reason) => panic!("{reason}"),
    }
}

/// A replica set that all tests of a program share. They leave it as it is: no kills, no cuts, no fail points.
///
/// # Panics
/// If it cannot be started; the message says why and what can be done.
pub async fn shared_replica_set() -> &'static ReplicaSet {
    static SHARED: OnceLock<Result<ReplicaSet, String>> = OnceLock::new();
    match once(&SHARED, ReplicaSet::launch(ReplicaSetOptions::default())).await {
        Ok(shared) => shared,
        Err(reason) => panic!("{reason}"),
    }
}

/// What `cell` has; the first call makes it, on a runtime of its own, and others wait for it.
async fn once<T: Send + Sync>(
    cell: &'static OnceLock<T>,
    start: impl Future<Output = T> + Send + 'static,
) -> &'static T {
    let made = tokio::task::spawn_blocking(|| cell.get_or_init(|| on_own_runtime(start)));
    made.await.unwrap_or_else(|error| resume(error))
}

impl SharedMongod {
    async fn start() -> Result<Self, String> {
        let Some(uri) = environment(GIVEN) else {
            let own = Mongod::launch(&[]).await?;
            return Ok(Self { uri: own.uri(), _own: Some(own) });
        };
        let answer = async {
            Client::with_uri_str(&uri).await?.database("admin").run_command(doc! { "ping": 1 }).await
        };
        answer.await.map_err(|error| format!("the server of {GIVEN} does not answer: {}", error.kind))?;
        Ok(Self { uri, _own: None })
    }

    /// Its address.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// A new and empty database, which is removed when the answer is dropped.
    #[must_use]
    pub fn fresh_database(&self) -> FreshDatabase {
        FreshDatabase::new(&self.uri)
    }
}

/// A database that one test has for itself.
#[derive(Debug)]
pub struct FreshDatabase {
    uri: String,
    name: String,
}

impl FreshDatabase {
    /// A new one on the server of `server_uri`.
    pub(super) fn new(server_uri: &str) -> Self {
        let name = random_name("chat_test_");
        Self { uri: with_database(server_uri, &name), name }
    }

    /// The server's address with this database in it.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The database's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for FreshDatabase {
    fn drop(&mut self) {
        let (uri, name) = (self.uri.clone(), self.name.clone());
        let removal = async move {
            let mut options = ClientOptions::parse(&uri).await?;
            options.server_selection_timeout = Some(REMOVAL_DEADLINE);
            Client::with_options(options)?.database(&name).drop().await
        };
        let removal = async { tokio::time::timeout(REMOVAL_DEADLINE, removal).await };
        // The test's runtime may be about to end.
        let thread = std::thread::spawn(|| on_own_runtime(removal));
        let _ = thread.join();
    }
}

/// Runs `future` on this thread and a runtime that ends with it.
fn on_own_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime: Runtime = runtime.expect("a test may start a runtime");
    runtime.block_on(future)
}

/// `uri` with the database `name` in its path. What stood there is where users are looked up, if nothing else says it.
fn with_database(uri: &str, name: &str) -> String {
    let (address, options) = uri.split_once('?').unwrap_or((uri, ""));
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let path = address[scheme..].find('/').map_or(address.len(), |at| scheme + at);
    let (hosts, database) = (&address[..path], address[path..].trim_start_matches('/'));
    let mut options = options.to_owned();
    if !options.contains("authSource=") && hosts[scheme..].contains('@') {
        let source = if database.is_empty() { "admin" } else { database };
        let separator = if options.is_empty() { "" } else { "&" };
        options = format!("{options}{separator}authSource={source}");
    }
    let mark = if options.is_empty() { "" } else { "?" };
    format!("{hosts}/{name}{mark}{options}")
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn a_database_takes_its_place_in_an_address() {
        for (uri, expected) in [
            ("mongodb://127.0.0.1:1", "mongodb://127.0.0.1:1/x"),
            ("mongodb://127.0.0.1:1/", "mongodb://127.0.0.1:1/x"),
            ("mongodb://127.0.0.1:1/old?w=1", "mongodb://127.0.0.1:1/x?w=1"),
            ("mongodb://u:p@a,b/?w=1", "mongodb://u:p@a,b/x?w=1&authSource=admin"),
            ("mongodb://u:p@a,b/old", "mongodb://u:p@a,b/x?authSource=old"),
            ("mongodb://u:p@a/old?authSource=other", "mongodb://u:p@a/x?authSource=other"),
        ] {
            assert_eq!(with_database(uri, "x"), expected);
        }
    }
}

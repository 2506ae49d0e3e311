//! Three servers that elect one of them, and a network between them that tests can cut.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use mongodb::bson::{Bson, Document, doc};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::command::Login;
use super::links::{Links, Party};
use super::server::{Mongod, random_name};
use super::shared::FreshDatabase;

/// How many members a set has; two are a majority.
pub const MEMBERS: usize = 3;

/// The name of the set.
const NAME: &str = "chat";

/// After this long without its majority a primary steps down, and the others elect another.
const ELECTION_TIMEOUT: Duration = Duration::from_secs(2);

/// Between two heartbeats of a member.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);

/// How long a new primary waits for entries that only others have.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(1);

/// Members notice at once that the primary is silent, and follow another.
const FETCH_TIMEOUT: &str = "oplogNetworkTimeoutBufferSeconds=1";

/// How long a set may take to do what it is sure to do, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a new set may take to come together. One that does not is thrown away, and another one is tried: now and
/// then the first copy of a member's data hangs for good.
const ASSEMBLY: Duration = Duration::from_secs(30);

/// How often a set is tried.
const ATTEMPTS: usize = 3;

/// How long one member may take to answer before it is asked again.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Between two rounds of questions.
const POLL: Duration = Duration::from_millis(50);

/// The fail point at which members stop fetching.
const STOP_REPLICATION: &str = "stopReplProducer";

/// How long a primary that stepped down does not stand for election.
const STEP_DOWN: Duration = Duration::from_secs(10);

/// What a set is started with.
#[derive(Debug, Clone, Default)]
pub struct ReplicaSetOptions {
    /// Whether clients have to sign in; [`ReplicaSet::uri`] has the name and password of the one user, a `root`.
    pub require_auth: bool,
    /// More arguments on the command line of each member.
    pub arguments: Vec<String>,
}

/// A set of a test's own. Its members know each other, and clients know them, by the ports of proxies.
///
/// On a quiet machine another primary accepts writes 3 s after the last was killed, partitioned or told to step down,
/// and 5 s after it was paused. [`ReplicaSet::primary`] waits for it.
#[derive(Debug)]
pub struct ReplicaSet {
    /// Dropped first: who is carried knows the members.
    links: Links,
    members: Arc<[Mongod]>,
    login: Option<Login>,
    _key: Option<TempDir>,
}

impl ReplicaSet {
    /// A set with a primary that accepts writes of the majority, and two members that follow it.
    ///
    /// # Panics
    /// If there is no server program, or the set does not get that far; the message says why.
    pub async fn start() -> Self {
        Self::start_with(ReplicaSetOptions::default()).await
    }

    /// [`ReplicaSet::start`] with settings.
    ///
    /// # Panics
    /// Like [`ReplicaSet::start`].
    pub async fn start_with(options: ReplicaSetOptions) -> Self {
        Self::launch(options).await.unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The error says why a member does not start, or what the members of the last attempt say of themselves.
    pub(super) async fn launch(options: ReplicaSetOptions) -> Result<Self, String> {
        let mut attempts = 1;
        loop {
            let set = Self::assemble(&options).await?;
            // Members that have only just copied the primary pause before they follow it: they are asked twice.
            let mut outcome = set.first_that_all_follow(ASSEMBLY).await;
            if outcome.is_ok() {
                outcome = set.first_that_all_follow(ASSEMBLY).await;
            }
            match outcome {
                Ok(_) => return Ok(set),
                Err(reason) if attempts >= ATTEMPTS => return Err(reason + &set.states().await),
                Err(reason) => {
                    let _ = writeln!(io::stderr(), "{reason}; another is tried{}", set.states().await);
                }
            }
            attempts += 1;
        }
    }

    /// A set whose members were told of each other.
    async fn assemble(options: &ReplicaSetOptions) -> Result<Self, String> {
        let mut arguments: Vec<String> =
            ["--replSet", NAME, "--oplogSize", "64", "--setParameter", FETCH_TIMEOUT]
                .map(str::to_owned)
                .to_vec();
        arguments.extend(options.arguments.iter().cloned());
        let key = options.require_auth.then(|| key_file().expect("the system has room for a key"));
        if let Some(key) = &key {
            arguments.extend(["--keyFile".to_owned(), key.path().join("key").display().to_string()]);
        }
        let members = try_join_all((0..MEMBERS).map(|_| Mongod::launch(&arguments))).await?.into();
        let links = Links::start(&members);
        let mut set = Self { links, members, login: None, _key: key };
        set.initiate().await;
        if options.require_auth {
            set.create_root().await;
        }
        Ok(set)
    }

    /// The address of the whole set.
    #[must_use]
    pub fn uri(&self) -> String {
        let hosts: Vec<String> = (0..MEMBERS).map(|member| self.host(member)).collect();
        self.address(&hosts.join(","), &format!("replicaSet={NAME}"))
    }

    /// The address of one member, for clients that want to talk to just this one.
    #[must_use]
    pub fn direct_uri(&self, member: usize) -> String {
        self.address(&self.host(member), "directConnection=true")
    }

    /// A new and empty database, which is removed when the answer is dropped.
    #[must_use]
    pub fn fresh_database(&self) -> FreshDatabase {
        FreshDatabase::new(&self.uri())
    }

    /// A member, by its index. [`Mongod::uri`] and [`Mongod::run_command`] go past the network: they reach it whatever
    /// is cut.
    #[must_use]
    pub fn member(&self, member: usize) -> &Mongod {
        &self.members[member]
    }

    /// Waits for a primary that accepts writes of the majority, and answers its index.
    ///
    /// # Panics
    /// If there is none for a long time.
    pub async fn primary(&self) -> usize {
        let accepts = |member: usize| async move {
            is_primary(&self.members[member]).await && note(&self.members[member], "majority").await
        };
        self.first("a primary that accepts writes of the majority", accepts).await
    }

    /// Makes the primary step down, and answers its index. It does not stand for election for a while.
    ///
    /// # Panics
    /// If there is no primary, or it refuses.
    pub async fn step_down(&self) -> usize {
        let primary = self.elected().await;
        let seconds = i64::try_from(STEP_DOWN.as_secs()).unwrap_or(i64::MAX);
        let command = doc! { "replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 1_i64, "force": true };
        self.members[primary].run_command(command).await.expect("a primary steps down when it is forced to");
        primary
    }

    /// [`Mongod::kill`] of a member.
    pub fn kill(&self, member: usize) {
        self.members[member].kill();
    }

    /// [`Mongod::restart`] of a member. It answers then, but may not follow the primary yet.
    pub async fn restart(&self, member: usize) {
        self.members[member].restart().await;
    }

    /// [`Mongod::pause`] of a member.
    pub fn pause(&self, member: usize) {
        self.members[member].pause();
    }

    /// [`Mongod::resume`] of a member.
    pub fn resume(&self, member: usize) {
        self.members[member].resume();
    }

    /// [`Mongod::fail_command`] of a member.
    pub async fn fail_command(&self, member: usize, mode: impl Into<Bson>, data: Document) {
        self.members[member].fail_command(mode, data).await;
    }

    /// Cuts a member off from the other members, in both directions. Clients still reach it. A primary goes on believing
    /// that it is one for two seconds, and takes writes that a majority does not have.
    pub fn partition(&self, member: usize) {
        let others = (0..MEMBERS).filter(|other| *other != member).map(Party::Member);
        let both = others.flat_map(|other| [(Party::Member(member), other), (other, Party::Member(member))]);
        self.links.cut(both);
    }

    /// Cuts a member off from everybody who is no member, in both directions.
    pub fn partition_from_clients(&self, member: usize) {
        let member = Party::Member(member);
        self.links.cut([(member, Party::Clients), (Party::Clients, member)]);
    }

    /// Nothing that `from` sends reaches `to`. Between a member and [`Party::Clients`] this loses the answers but not
    /// the requests, or the other way round.
    pub fn cut_one_way(&self, from: impl Into<Party>, to: impl Into<Party>) {
        self.links.cut([(from.into(), to.into())]);
    }

    /// Ends all cuts. What clients and members could not send to each other arrives now, as it does after a real one;
    /// members that were cut off from each other for seconds connect again.
    pub fn heal(&self) {
        self.links.heal();
    }

    /// From now on a member takes no entries from the primary, though it still votes and answers.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn stop_replication(&self, member: usize) {
        let server = &self.members[member];
        let entered = set_stop_replication(server, "alwaysOn").await;
        if !is_primary(server).await {
            // What it fetches at the moment is thrown away; then it waits.
            let command = doc! {
                "waitForFailPoint": STOP_REPLICATION,
                "timesEntered": entered + 1,
                "maxTimeMS": millis(PATIENCE),
            };
            server.run_command(command).await.expect("a member comes to its next fetch");
        }
    }

    /// Ends [`ReplicaSet::stop_replication`].
    ///
    /// # Panics
    /// If the member does not answer.
    pub async fn start_replication(&self, member: usize) {
        set_stop_replication(&self.members[member], "off").await;
    }

    /// Waits until every member has everything that the primary has.
    ///
    /// # Panics
    /// If that takes too long.
    pub async fn wait_until_all_follow(&self) {
        self.first_that_all_follow(PATIENCE).await.unwrap_or_else(|reason| panic!("{reason}"));
    }

    async fn first_that_all_follow(&self, patience: Duration) -> Result<usize, String> {
        let members = i32::try_from(MEMBERS).unwrap_or(i32::MAX);
        let is_followed = |member: usize| async move {
            is_primary(&self.members[member]).await && note(&self.members[member], members).await
        };
        self.first_within(patience, "a primary that all members follow", is_followed).await
    }

    /// What each member says of the others.
    async fn states(&self) -> String {
        let mut states = String::new();
        for (index, member) in self.members.iter().enumerate() {
            let status = timeout(ANSWER_DEADLINE, member.run_command(doc! { "replSetGetStatus": 1 })).await;
            let _ = write!(states, "\nmember {index}: {status:?}");
        }
        states
    }

    async fn initiate(&self) {
        let member =
            |member: usize| doc! { "_id": i64::try_from(member).unwrap_or(0), "host": self.host(member) };
        let members: Vec<Document> = (0..MEMBERS).map(member).collect();
        let config = doc! {
            "_id": NAME,
            "members": members,
            "writeConcernMajorityJournalDefault": true,
            "settings": {
                "electionTimeoutMillis": millis(ELECTION_TIMEOUT),
                "heartbeatIntervalMillis": millis(HEARTBEAT_INTERVAL),
                "catchUpTimeoutMillis": millis(CATCH_UP_TIMEOUT),
                // All follow the primary itself, so that stopping one member holds up no other.
                "chainingAllowed": false,
            },
        };
        let answer = self.members[0].run_command(doc! { "replSetInitiate": config }).await;
        answer.expect("new members form a set");
    }

    async fn create_root(&mut self) {
        let primary = self.elected().await;
        let login = self.members[primary].create_root().await;
        for (_, member) in self.members.iter().enumerate().filter(|(index, _)| *index != primary) {
            member.sign_in_as(login.clone());
        }
        self.login = Some(login);
    }

    /// Waits for a member that believes to be the primary.
    async fn elected(&self) -> usize {
        self.first("a primary", |member| is_primary(&self.members[member])).await
    }

    /// Asks each member again and again until one says yes; answers which. None waits for another's answer.
    async fn first<F: Future<Output = bool>>(&self, what: &str, question: impl Fn(usize) -> F) -> usize {
        self.first_within(PATIENCE, what, question).await.unwrap_or_else(|reason| panic!("{reason}"))
    }

    async fn first_within<F: Future<Output = bool>>(
        &self,
        patience: Duration,
        what: &str,
        question: impl Fn(usize) -> F,
    ) -> Result<usize, String> {
        let question = &question;
        let ask = |member| async move {
            while !timeout(ANSWER_DEADLINE, question(member)).await.unwrap_or(false) {
                sleep(POLL).await;
            }
            member
        };
        let mut answers: FuturesUnordered<_> = (0..MEMBERS).map(ask).collect();
        match timeout(patience, answers.next()).await {
            Ok(Some(member)) => Ok(member),
            _ => Err(format!("the replica set has not brought {what} within {patience:?}")),
        }
    }

    fn host(&self, member: usize) -> String {
        format!("127.0.0.1:{}", self.links.port(member))
    }

    fn address(&self, hosts: &str, options: &str) -> String {
        let source = if self.login.is_some() { "&authSource=admin" } else { "" };
        format!("mongodb://{}{hosts}/?{options}{source}", Login::in_uri(self.login.as_ref()))
    }
}

/// Whether a member believes to be the primary.
async fn is_primary(member: &Mongod) -> bool {
    let answer = member.run_command(doc! { "hello": 1 }).await;
    answer.is_ok_and(|answer| answer.get_bool("isWritablePrimary").unwrap_or(false))
}

/// Writes an entry of no meaning, and waits until as many members as `followers` says have it.
async fn note(member: &Mongod, followers: impl Into<Bson>) -> bool {
    let concern = doc! { "w": followers, "wtimeout": millis(ANSWER_DEADLINE) };
    let command = doc! { "appendOplogNote": 1, "data": { "note": "ready" }, "writeConcern": concern };
    member.run_command(command).await.is_ok_and(|answer| !answer.contains_key("writeConcernError"))
}

/// Switches the fail point; answers how often it was met before.
async fn set_stop_replication(member: &Mongod, mode: &str) -> i64 {
    let command = doc! { "configureFailPoint": STOP_REPLICATION, "mode": mode };
    let answer = member.run_command(command).await.expect("a member takes commands of tests");
    let count = answer.get("count");
    count.and_then(|count| count.as_i64().or_else(|| count.as_i32().map(i64::from))).unwrap_or(0)
}

/// A directory with the key by which members know each other.
fn key_file() -> io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix("chat-mongod-key-").tempdir()?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(directory.path().join("key"))?;
    writeln!(file, "{}", random_name("key"))?;
    Ok(directory)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

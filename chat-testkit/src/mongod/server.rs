//! One server of a test's own.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use rustix::process::Signal;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::command::{self, Login};
use super::program::program;
use super::watchdog::Watchdog;

/// How long a start may take on a busy machine, recovery after a kill included.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// Between two looks whether the server listens.
const START_POLL: Duration = Duration::from_millis(20);

/// How often a server that ended at once is started on another port.
const START_ATTEMPTS: usize = 3;

/// Below the ports that systems give to outgoing connections. One of those could take the port of a
/// server while it is down.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct MongodOptions {
    /// Whether clients have to sign in. There is one user then, with the role `root`; [`Mongod::uri`] has its name
    /// and password.
    pub require_auth: bool,
    /// More arguments on the command line.
    pub arguments: Vec<String>,
}

/// A server of a test's own. It is killed and its data removed when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub struct Mongod {
    port: u16,
    login: OnceLock<Login>,
    log: PathBuf,
    watchdog: Mutex<Watchdog>,
}

impl Mongod {
    /// A standalone server that answers.
    ///
    /// # Panics
    /// If there is no server program or it does not start; the message says why.
    pub async fn start() -> Self {
        Self::start_with(MongodOptions::default()).await
    }

    /// [`Mongod::start`] with settings.
    ///
    /// # Panics
    /// Like [`Mongod::start`], and if the first user cannot be made.
    pub async fn start_with(options: MongodOptions) -> Self {
        let mut arguments = options.arguments;
        if options.require_auth {
            arguments.push("--auth".to_owned());
        }
        let server = Self::launch(&arguments).await.unwrap_or_else(|reason| panic!("{reason}"));
        if options.require_auth {
            server.create_root().await;
        }
        server
    }

    /// A server without users, on a port that is free. The error says why there is none.
    pub(super) async fn launch(arguments: &[String]) -> Result<Self, String> {
        let program = tokio::task::spawn_blocking(program).await.unwrap_or_else(|error| resume(error))?;
        let mut reason = String::new();
        for _ in 0..START_ATTEMPTS {
            let server = Self::new(program, free_port(), arguments);
            server.watchdog().start().expect("the watchdog starts the server");
            match server.wait_until_ready().await {
                Ok(()) => return Ok(server),
                Err(why) => reason = why,
            }
        }
        Err(format!("mongod does not start: {reason}"))
    }

    fn new(program: &Path, port: u16, arguments: &[String]) -> Self {
        let directory = tempfile::Builder::new().prefix("chat-mongod-").tempdir();
        let directory = directory.expect("the system has room for a temporary directory");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("a new directory can be written to");
        let log = directory.path().join("log");
        let mut command: Vec<OsString> = vec![program.into(), "--dbpath".into(), data.into()];
        command.extend(["--logpath".into(), log.clone().into(), "--port".into(), port.to_string().into()]);
        let fixed = "--logappend --quiet --bind_ip 127.0.0.1 --nounixsocket --wiredTigerCacheSizeGB 0.25 \
                     --setParameter enableTestCommands=1 --setParameter diagnosticDataCollectionEnabled=false";
        command.extend(fixed.split(' ').map(OsString::from));
        command.extend(arguments.iter().map(OsString::from));
        let watchdog = Watchdog::new(directory, command).expect("the system has a shell");
        Self { port, login: OnceLock::new(), log, watchdog: Mutex::new(watchdog) }
    }

    /// Its address with the first user, if it has one. Append a database's name with [`Mongod::uri_of`].
    #[must_use]
    pub fn uri(&self) -> String {
        self.uri_of("")
    }

    /// Its address with a database in it.
    #[must_use]
    pub fn uri_of(&self, database: &str) -> String {
        let source = if self.login.get().is_some() { "&authSource=admin" } else { "" };
        format!(
            "mongodb://{}127.0.0.1:{}/{database}?directConnection=true{source}",
            Login::in_uri(self.login.get()),
            self.port
        )
    }

    /// The port that it listens at on 127.0.0.1; it stays the same through restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process; `None` after a kill.
    #[must_use]
    pub fn process_id(&self) -> Option<i32> {
        self.watchdog().process_id()
    }

    /// Kills it without warning, as the end of the machine would. Its data stays.
    ///
    /// # Panics
    /// If its watchdog has gone.
    pub fn kill(&self) {
        self.watchdog().kill().expect("the watchdog answers");
    }

    /// Starts it on the same port and data, and waits until it answers. If it runs, it is killed first.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart(&self) {
        self.watchdog().start().expect("the watchdog answers");
        if let Err(reason) = self.wait_until_ready().await {
            panic!("mongod does not start again: {reason}");
        }
    }

    /// Stops its process where it stands; connections stay open and are not answered.
    ///
    /// # Panics
    /// If it does not run.
    pub fn pause(&self) {
        self.watchdog().pause().expect("the server runs");
    }

    /// Lets a paused process go on.
    ///
    /// # Panics
    /// If it does not run.
    pub fn resume(&self) {
        self.watchdog().signal(Signal::CONT).expect("the server runs");
    }

    /// Sends a command to the database `admin`, over a connection of its own.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn run_command(&self, command: Document) -> mongodb::error::Result<Document> {
        command::run(self.port, self.login.get(), command).await
    }

    /// What it has logged, since its first start.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Makes commands fail: `mode` is `"alwaysOn"` or a document like `{times: 1}`, `data` says which commands and how:
    /// `{failCommands: ["insert"], closeConnection: true}`, or `errorCode`, `writeConcernError`, `blockConnection`.
    ///
    /// # Panics
    /// If the server does not take it.
    pub async fn fail_command(&self, mode: impl Into<Bson>, data: Document) {
        let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.run_command(command).await.expect("the server takes commands of tests");
    }

    /// Ends [`Mongod::fail_command`].
    ///
    /// # Panics
    /// If the server does not answer.
    pub async fn stop_failing(&self) {
        let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.run_command(command).await.expect("the server takes commands of tests");
    }

    /// Makes the first user, which a server lets happen without signing in.
    pub(super) async fn create_root(&self) -> Login {
        let login = Login { user: "root".to_owned(), password: random_name("") };
        let command = doc! { "createUser": &login.user, "pwd": &login.password, "roles": ["root"] };
        self.run_command(command).await.expect("a new server lets its first user be made");
        self.sign_in_as(login.clone());
        login
    }

    /// [`Mongod::uri`] and commands use this login from now on.
    pub(super) fn sign_in_as(&self, login: Login) {
        let _ = self.login.set(login);
    }

    fn watchdog(&self) -> MutexGuard<'_, Watchdog> {
        self.watchdog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it answers. The error says why it does not.
    async fn wait_until_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_DEADLINE;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.is_err() {
            if self.watchdog().has_ended() {
                return Err(format!("it ended at once; {}", self.complaints()));
            }
            if Instant::now() > deadline {
                return Err(format!("it did not listen within {START_DEADLINE:?}; {}", self.complaints()));
            }
            sleep(START_POLL).await;
        }
        // Nobody has to sign in for this.
        let answer = command::run(self.port, None, doc! { "ping": 1 }).await;
        answer.map(drop).map_err(|error| format!("it does not answer: {error}; {}", self.complaints()))
    }

    /// The end of what it printed, and what it logged as errors.
    fn complaints(&self) -> String {
        let directory = self.watchdog().directory().to_owned();
        let printed = fs::read_to_string(directory.join("output")).unwrap_or_default();
        let mut complaints = String::from("it says:");
        for line in printed.lines().rev().take(3) {
            let _ = write!(complaints, " {line}");
        }
        let log = self.log();
        let is_error = |line: &&str| line.contains(r#""s":"E""#) || line.contains(r#""s":"F""#);
        for line in log.lines().filter(is_error).take(3) {
            let _ = write!(complaints, " {line}");
        }
        complaints
    }
}

/// A port of 127.0.0.1 at which nobody listens.
pub(super) fn free_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let ports = std::iter::repeat_with(|| {
        let random = u64::from_le_bytes(crate::random::bytes());
        let width = u64::from(PORTS.end - PORTS.start);
        PORTS.start + u16::try_from(random % width).unwrap_or_default()
    });
    ports.take(1_000).find(is_free).expect("a port of 20,000 is free")
}

/// A name that nobody else takes.
pub(super) fn random_name(prefix: &str) -> String {
    format!("{prefix}{:016x}", u64::from_le_bytes(crate::random::bytes()))
}

/// A panic on another thread goes on here.
pub(super) fn resume(error: tokio::task::JoinError) -> ! {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(error) => panic!("a thread did not end: {error}"),
    }
}

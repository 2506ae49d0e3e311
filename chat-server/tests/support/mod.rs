//! Runs the real binary for end-to-end tests: in a directory of its own, on free
//! ports, without the settings of whoever runs the tests.
//!
//! ```ignore
//! let server = Server::start();                                  // SQLite in a temporary directory
//! let server = Server::with().set("store", "memory").start();    // any setting by its key
//! let server = Store::Mongodb.start();                           // a database of its own in MongoDB
//! connect(&format!("ws://{}/ws", server.address));
//! server.terminate();                                            // SIGTERM
//! assert_eq!(server.wait(), Some(0));
//! ```

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    reason = "shared by test programs; each uses its own part"
)]

pub mod archives;
pub mod home;
pub mod people;
pub mod replica;
pub mod traffic;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chat_testkit::mongod::FreshDatabase;
use rustix::process::{Pid, Signal, kill_process};

use home::Home;
pub use home::Store;
pub(crate) use home::on_every_store;

/// How long anything here may take; far more than it does.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A server to be: settings by their keys, and the directory that it runs in.
#[derive(Debug)]
pub struct Builder {
    settings: Vec<(String, String)>,
    arguments: Vec<String>,
    /// What a shell does before it becomes the server.
    preparation: Option<String>,
    home: Home,
}

/// A running server. Killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `http://…` or `https://…` as announced.
    pub url: String,
    /// Where people connect.
    pub address: SocketAddr,
    /// Where health and metrics are, unless they are off.
    pub admin: Option<SocketAddr>,
    /// The one line on standard output.
    pub ready_line: String,
    home: Home,
}

/// A server that did not get ready, or a command that ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub log: String,
    home: Home,
}

/// An answer to a plain HTTP request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The head in lower case.
    pub head: String,
    pub body: String,
}

impl Builder {
    fn new(home: Home) -> Self {
        let mut settings = vec![];
        if home.database().is_some() {
            settings.extend(home.settings());
        }
        settings.extend(["listen", "admin_listen"].map(|key| (key.to_owned(), "127.0.0.1:0".to_owned())));
        Self { settings, arguments: Vec::new(), preparation: None, home }
    }

    /// Sets a setting by its key, in the environment.
    pub fn set(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.push((key.to_owned(), value.into()));
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Lets a shell do something before it becomes the server: `trap`, `ulimit`, `umask`.
    pub fn after(mut self, preparation: &str) -> Self {
        self.preparation = Some(preparation.to_owned());
        self
    }

    /// The directory that the server will run in.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// Starts the server and waits until it is ready.
    pub fn start(self) -> Server {
        match self.try_start() {
            Ok(server) => server,
            Err(ended) => panic!("the server did not get ready: {ended:#?}"),
        }
    }

    /// Starts the server and waits until it is ready or has ended.
    pub fn try_start(self) -> Result<Server, Ended> {
        let (mut child, lines) = self.spawn();
        let first = lines.recv_timeout(PATIENCE).unwrap_or_default();
        if !first.starts_with("chat-server ready: ") {
            let ended = child_exit(&mut child);
            let rest: Vec<String> = lines.try_iter().collect();
            return Err(self.ended(ended, [vec![first], rest].concat().join("\n")));
        }
        let words: Vec<&str> = first.split([' ', '(', ')']).collect();
        let urls: Vec<&str> = words.into_iter().filter(|word| word.contains("://")).collect();
        let address = |url: &str| url.split("://").nth(1).unwrap().parse().unwrap();
        Ok(Server {
            child,
            url: urls[0].to_owned(),
            address: address(urls[0]),
            admin: urls.get(1).map(|url| address(url)),
            ready_line: first.clone(),
            home: self.home,
        })
    }

    /// Runs a command that ends by itself.
    pub fn run(self) -> Ended {
        let (mut child, lines) = self.spawn();
        let output: Vec<String> = lines.iter().collect();
        let code = child_exit(&mut child);
        self.ended(code, output.join("\n"))
    }

    fn ended(self, code: Option<i32>, output: String) -> Ended {
        let log = std::fs::read_to_string(self.home.path().join("stderr.log")).unwrap_or_default();
        Ended { code, output, log, home: self.home }
    }

    /// The process, and the lines of its standard output.
    fn spawn(&self) -> (Child, mpsc::Receiver<String>) {
        let log = File::options().append(true).create(true).open(self.home.path().join("stderr.log"));
        let program = env!("CARGO_BIN_EXE_chat-server");
        let mut command = Command::new(self.preparation.as_ref().map_or(program, |_| "sh"));
        if let Some(preparation) = &self.preparation {
            command.args(["-c", &format!("{preparation}; exec \"$0\" \"$@\""), program]);
        }
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHAT_") {
                command.env_remove(name);
            }
        }
        let variable = |key: &str| format!("CHAT_{}", key.to_uppercase());
        let mut child = command
            .envs(self.settings.iter().map(|(key, value)| (variable(key), value)))
            .args(&self.arguments)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        (child, lines)
    }
}

impl Ended {
    /// The directory that the server ran in.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// A command on the data that the server has left, in a directory of its own.
    pub fn tool(&self, arguments: &[&str]) -> Ended {
        tool(&self.home, arguments)
    }

    /// Lets another server run in the same directory, with its data.
    pub fn again(self) -> Builder {
        Builder::new(self.home)
    }
}

impl Server {
    /// A server with all defaults but the ports, which are free ones.
    pub fn start() -> Self {
        Self::with().start()
    }

    /// A server to configure.
    pub fn with() -> Builder {
        Store::Sqlite.server()
    }

    /// A command on the server's data, in a directory of its own.
    pub fn tool(&self, arguments: &[&str]) -> Ended {
        tool(&self.home, arguments)
    }

    /// The database in MongoDB.
    pub fn database(&self) -> &FreshDatabase {
        self.home.database().expect("the server is on MongoDB")
    }

    /// Where WebSocket clients connect.
    pub fn socket_url(&self) -> String {
        format!("{}/ws", self.url.replacen("http", "ws", 1))
    }

    /// The directory that the server runs in.
    pub fn directory(&self) -> &Path {
        self.home.path()
    }

    /// The directory with the server's data.
    pub fn data_dir(&self) -> PathBuf {
        self.home.data_dir()
    }

    /// The process id.
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// How much memory the process holds, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("the resident size");
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Everything on standard error so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("stderr.log")).unwrap_or_default()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(process, signal).unwrap();
    }

    #[cfg(target_os = "linux")]
    /// From now on the server cannot make any file longer than this. Needs `trap '' XFSZ` before it started.
    pub fn limit_file_size(&self, bytes: u64) {
        let process = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        let limit = rustix::process::Rlimit { current: Some(bytes), maximum: Some(bytes) };
        rustix::process::prlimit(process, rustix::process::Resource::Fsize, limit).unwrap();
    }

    /// Asks the server to stop, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills the server as a crash would; its data may be used by [`Ended::again`].
    pub fn kill(mut self) -> Ended {
        self.child.kill().unwrap();
        self.into_ended()
    }

    /// Waits for the end of the server and answers its exit code; `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        child_exit(&mut self.child)
    }

    /// Waits for the end of the server; its data may be used by [`Ended::again`].
    pub fn into_ended(mut self) -> Ended {
        let code = self.wait();
        let home = std::mem::replace(&mut self.home, Home::new(Store::Sqlite));
        let log = std::fs::read_to_string(home.path().join("stderr.log")).unwrap_or_default();
        Ended { code, output: self.ready_line.clone(), log, home }
    }

    /// Stops the server and answers everything that it has logged.
    pub fn into_stopped_log(self) -> String {
        self.terminate();
        self.into_ended().log
    }

    /// Asks the public listener for a page.
    pub fn get(&self, path: &str) -> Answer {
        get(self.address, path)
    }

    /// Asks the admin listener.
    pub fn ask_admin(&self, path: &str) -> Answer {
        get(self.admin.expect("the admin listener is on"), path)
    }

    /// Waits until the log contains `text`.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("{text:?} in the log"), || self.log().contains(text));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command on the data of a server, in a directory of its own.
fn tool(home: &Home, arguments: &[&str]) -> Ended {
    let mut builder = Server::with();
    builder.settings.extend(home.settings());
    arguments.iter().fold(builder, |builder, argument| builder.arg(*argument)).run()
}

/// Asks with plain HTTP.
pub fn get(address: SocketAddr, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    raw(address, request.as_bytes())
}

/// Sends bytes and reads the answer until the server closes.
pub fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request).unwrap();
    let mut bytes = Vec::new();
    // A reset after the answer is an end as well.
    let _ = socket.read_to_end(&mut bytes);
    answer(&bytes)
}

/// An answer from its bytes; status 0 if there was none.
pub fn answer(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

/// Looks again and again until `holds`; panics when that takes too long.
#[allow(clippy::disallowed_methods, reason = "real processes run on real time")]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn child_exit(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_until("the end of the process", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}

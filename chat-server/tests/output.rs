//! The real binary where standard output or standard error takes nothing: the disk is full, the reader has left or
//! stands still. What is said is lost; the server and its commands go on and end as they should.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![cfg(target_os = "linux")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write, pipe};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use chat_testkit::client::TestClient;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::home::Home;
use support::{PATIENCE, Store, get, raw, wait_until};
use tempfile::TempDir;

/// Handshakes that are refused with a line in the log each; far more than a pipe holds.
const REFUSED: usize = 1_500;

/// What a pipe holds.
const PIPE_BYTES: usize = 65_536;

/// What standard output or standard error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    /// A file on a disk that is full.
    Full,
    /// A pipe whose reader has left.
    Left,
    /// A pipe that is full, and whose reader stands still.
    Standing,
}

/// The program's end of a stream, and what has to be kept so that it stays what it is.
fn open(stream: Stream) -> (Stdio, Option<OwnedFd>) {
    match stream {
        Stream::Full => (File::options().write(true).open("/dev/full").unwrap().into(), None),
        Stream::Left => (pipe().unwrap().1.into(), None),
        Stream::Standing => {
            let (reader, mut writer) = pipe().unwrap();
            writer.write_all(&[b'x'; PIPE_BYTES]).unwrap();
            (writer.into(), Some(reader.into()))
        }
    }
}

/// The program with these arguments in a directory of its own.
fn program(home: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-server"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CHAT_")) {
        command.env_remove(name);
    }
    command.args(arguments).current_dir(home.path()).stdin(Stdio::null());
    command.env("CHAT_LISTEN", "127.0.0.1:0").env("CHAT_ADMIN_LISTEN", "127.0.0.1:0");
    command
}

/// A process that does not outlive its test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Process {
    Process(command.spawn().unwrap())
}

fn end_of(mut process: Process) -> Option<i32> {
    let mut status = None;
    wait_until("the end of the process", || {
        status = process.0.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap().code()
}

fn registration() -> Value {
    json!({"action": "register", "username": "ann", "password": "correct horse", "email": "ann@example.org"})
}

fn terminate(process: &Process) {
    kill_process(Pid::from_raw(i32::try_from(process.0.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
}

/// The addresses, public and admin, in the line that says that the server is ready.
fn addresses(process: &mut Process) -> [SocketAddr; 2] {
    let mut line = String::new();
    BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let words: Vec<&str> =
        line.split(['/', ' ', ')']).filter(|word| word.starts_with("127.0.0.1:")).collect();
    [words[0].parse().unwrap(), words[1].parse().unwrap()]
}

fn refuse_many(address: SocketAddr) {
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
                   Origin: https://evil.example\r\n\r\n";
    for _ in 0..REFUSED {
        assert_eq!(raw(address, request.as_bytes()).status, 403);
    }
}

fn lost_lines(admin: SocketAddr) -> u64 {
    let metrics = get(admin, "/metrics").body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("chat_log_lines_dropped_total "));
    line.expect("the metric").parse().unwrap()
}

#[tokio::test]
async fn sec_141_a_server_whose_log_takes_nothing_serves_and_drains() {
    for stream in [Stream::Full, Stream::Left, Stream::Standing] {
        let home = tempfile::tempdir().unwrap();
        let (error, _reader) = open(stream);
        let mut server = program(&home, &["--log-level", "debug"]);
        let mut server = start(server.stdout(Stdio::piped()).stderr(error));
        let [address, admin] = addresses(&mut server);
        refuse_many(address);
        assert_eq!(get(admin, "/healthz").status, 200, "{stream:?}");
        let mut client = TestClient::connect(&format!("ws://{address}/ws")).await;
        client.ok(json!({"action": "ping"})).await;
        client.ok(registration()).await;
        client.ok(json!({"action": "login", "username": "ann", "password": "correct horse"})).await;
        let room = client.ok(json!({"action": "create_room", "room_name": "Harbour"})).await;
        let message = json!({"action": "send_room_message", "room_id": room["room_id"], "content": "hello"});
        client.ok(message).await;
        // What a standing reader costs waits in the queue first.
        assert!(stream == Stream::Standing || lost_lines(admin) > REFUSED as u64, "{stream:?}");
        terminate(&server);
        assert_eq!(client.close_code().await, 1001, "{stream:?}");
        assert_eq!(end_of(server), Some(0), "{stream:?}");
    }
}

#[test]
fn sec_141_lost_lines_are_told_once_lines_can_be_written_again() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = pipe().unwrap();
    let mut server = program(&home, &["--log-level", "trace"]);
    let mut server = start(server.stdout(Stdio::piped()).stderr(writer));
    let [address, admin] = addresses(&mut server);
    wait_until("lost lines", || {
        refuse_many(address);
        lost_lines(admin) > 0
    });
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(reader).lines().map_while(Result::ok) {
            if line.contains("lines of the log were lost") {
                tell.send(line).unwrap();
            }
        }
    });
    let line = told.recv_timeout(PATIENCE).unwrap();
    assert!(line.contains("WARN") && line.contains("lines="), "{line}");
    terminate(&server);
    assert_eq!(end_of(server), Some(0));
}

#[test]
fn sec_141_a_server_whose_ready_line_takes_nobody_serves_and_drains() {
    for stream in [Stream::Full, Stream::Left, Stream::Standing] {
        let home = tempfile::tempdir().unwrap();
        let (output, _reader) = open(stream);
        let log = home.path().join("log");
        let mut server = program(&home, &[]);
        let server = start(server.stdout(output).stderr(File::create(&log).unwrap()));
        let read = || std::fs::read_to_string(&log).unwrap();
        wait_until("a server that is ready", || read().contains(" ready "));
        terminate(&server);
        assert_eq!(end_of(server), Some(0), "{stream:?}");
        assert!(read().contains("graceful=true"), "{stream:?}: {}", read());
    }
}

/// A directory with a store in which there is one account.
async fn home_with_a_store() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut server = program(&home, &[]);
    let mut server = start(server.stdout(Stdio::piped()).stderr(Stdio::null()));
    let [address, _] = addresses(&mut server);
    let mut client = TestClient::connect(&format!("ws://{address}/ws")).await;
    client.ok(registration()).await;
    terminate(&server);
    assert_eq!(end_of(server), Some(0));
    home
}

/// How a command ends whose standard output is `stream`, and what it says on standard error.
fn ended(mut command: Command, stream: Stream) -> (Option<i32>, String) {
    let (output, _reader) = open(stream);
    let mut process = start(command.stdout(output).stderr(Stdio::piped()));
    let mut log = String::new();
    process.0.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    let said = log.lines().filter(|line| line.starts_with("chat-server: ") || line.contains("panicked"));
    let said: Vec<&str> = said.collect();
    (end_of(process), said.join("\n"))
}

#[tokio::test]
async fn sec_141_commands_whose_answer_takes_nobody_end_in_order() {
    let home = home_with_a_store().await;
    let archive = ended(program(&home, &["export", "a.jsonl"]), Stream::Full);
    assert_eq!(archive.0, Some(74), "{archive:?}");
    let database = Home::new(Store::Mongodb);
    let commands: [&[&str]; 10] = [
        &["--help"],
        &["--version"],
        &["settings"],
        &["--check-config"],
        &["user", "disable", "ann"],
        &["backup", "BACKUP"],
        &["export", "-"],
        &["epoch", "new"],
        &["--data-dir", "IMPORTED", "import", "a.jsonl"],
        &["migrate", "--dry-run"],
    ];
    for arguments in commands {
        for stream in [Stream::Full, Stream::Left] {
            let name =
                |argument: &&str| argument.to_string() + if stream == Stream::Full { "-1" } else { "-2" };
            let own: Vec<String> = arguments
                .iter()
                .map(|argument| {
                    if ["BACKUP", "IMPORTED"].contains(argument) {
                        name(argument)
                    } else {
                        argument.to_string()
                    }
                })
                .collect();
            let own: Vec<&str> = own.iter().map(String::as_str).collect();
            let mut command = program(&home, &own);
            if arguments.contains(&"migrate") {
                let variable = |key: &str| format!("CHAT_{}", key.to_uppercase());
                command.envs(database.settings().into_iter().map(|(key, value)| (variable(&key), value)));
            }
            let (code, said) = ended(command, stream);
            assert_eq!(code, Some(74), "{arguments:?} {stream:?}: {said}");
            match stream {
                Stream::Full => assert!(said.contains("cannot write the a"), "{arguments:?}: {said}"),
                Stream::Left | Stream::Standing => assert_eq!(said, "", "{arguments:?}"),
            }
        }
    }
}

#[test]
fn sec_141_failures_that_nobody_can_be_told_keep_their_exit_code() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--listen={}", taken.local_addr().unwrap());
    let commands: [(&[&str], i32); 7] = [
        (&["--lisen"], 64),
        (&["--check-config", "--drain-seconds=soon"], 64),
        (&["--drain-seconds=soon"], 64),
        (&["import", "nothing.jsonl"], 66),
        (&["user", "disable", "ann"], 73),
        (&["migrate"], 64),
        (&[&taken], 69),
    ];
    for (arguments, code) in commands {
        for stream in [Stream::Full, Stream::Left, Stream::Standing] {
            let home = tempfile::tempdir().unwrap();
            let (error, _reader) = open(stream);
            let command = start(program(&home, arguments).stdout(Stdio::null()).stderr(error));
            assert_eq!(end_of(command), Some(code), "{arguments:?} {stream:?}");
        }
    }
}

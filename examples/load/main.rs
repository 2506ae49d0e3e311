//! Load for sizing: how many messages a server takes and delivers, how fast, and what that costs it.
//!
//! Every member checks that it gets every message exactly once and in order, and that what was
//! acknowledged is what was delivered; otherwise the program ends with code 1. It registers new
//! users and leaves them and their conversations behind, so point it at a server that is made
//! for this, and lift the limits that protect servers from exactly such clients:
//!
//! ```sh
//! CHAT_DATA_DIR=$(mktemp -d) CHAT_RATE_USER_SENDS_PER_SECOND=0 CHAT_RATE_USER_REQUESTS_PER_SECOND=0 \
//!     chat-server &
//! cargo run --release -p chat-examples --example load -- --server-pid $! fanout --members 200 --senders 10
//! ```
//!
//! Where a limit is left in place the program honours it: it waits as long as `retry_after_ms`
//! says, sends again under the same `client_id`, and reports how often that happened.
//! Reading order: `scenario` says what happens, `member` is one client under load, `connection` its socket.

mod account;
mod connection;
mod member;
mod order;
mod process;
mod report;
mod scenario;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use connection::Target;
pub(crate) use report::Report;

const AFTER_HELP: &str = "\
Limits of the server that a load test should lift:
  CHAT_RATE_USER_SENDS_PER_SECOND=0        messages of a user
  CHAT_RATE_USER_REQUESTS_PER_SECOND=0     other requests of a user
  CHAT_RATE_ADDRESS_REGISTRATIONS_PER_MINUTE=0, CHAT_LIMIT_ADDRESS_CONNECTIONS=0
                                           only for clients on other hosts
Many connections need many files: `ulimit -n 65536` for both programs.";

/// Puts load on a chat server and checks that every message arrives once and in order.
#[derive(Debug, Clone, Parser)]
#[command(name = "load", after_help = AFTER_HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Clone, Args)]
struct Common {
    /// The server's WebSocket.
    #[arg(long, default_value = "ws://127.0.0.1:2346/ws", global = true)]
    url: String,
    /// How long the load lasts.
    #[arg(long, default_value_t = 10, value_parser = value_parser!(u64).range(1..=3_600), global = true)]
    seconds: u64,
    /// Bytes of each message's content.
    #[arg(long, default_value_t = 100, value_parser = value_parser!(u64).range(16..=8_192), global = true)]
    bytes: u64,
    /// Messages a second of all senders together, sent at their times whether or not earlier ones are acknowledged, as
    /// far as unfinished ones are allowed; times then count from when a message was due. Without it each sender
    /// sends the next as soon as it may.
    #[arg(long, value_parser = value_parser!(u32).range(1..=10_000_000), global = true)]
    rate: Option<u32>,
    /// Process id of the server on this host, to report its CPU time and memory.
    #[arg(long, global = true)]
    server_pid: Option<u32>,
    /// Threads of this program. One disturbs a server on the same host the least.
    #[arg(long, default_value_t = 1, value_parser = value_parser!(u64).range(1..=64), global = true)]
    threads: u64,
    /// Allow a server on another host.
    #[arg(long, global = true)]
    allow_remote: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Scenario {
    /// Pairs of users: in each one sends to the other, and sends the next when one is acknowledged.
    OneToOne {
        /// Pairs.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=5_000))]
        pairs: u32,
        /// Unfinished messages of each sender.
        #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=256))]
        window: u32,
    },
    /// One room: some of its members send, all receive.
    Fanout {
        /// Members, senders included.
        #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
        members: u32,
        /// Members who send.
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=10_000))]
        senders: u32,
        /// Unfinished messages of each sender.
        #[arg(long, default_value_t = 10, value_parser = value_parser!(u32).range(1..=256))]
        window: u32,
    },
    /// Several rooms: senders are spread over them, and each receives what is sent in its room.
    Rooms {
        /// Rooms.
        #[arg(long, default_value_t = 100, value_parser = value_parser!(u32).range(1..=5_000))]
        rooms: u32,
        /// Senders in all rooms together.
        #[arg(long, default_value_t = 256, value_parser = value_parser!(u32).range(1..=10_000))]
        senders: u32,
        /// Unfinished messages of each sender.
        #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(1..=256))]
        window: u32,
    },
    /// Signed-in connections on which nothing happens: what each costs the server.
    ///
    /// They first use memory that the server's allocator kept after hashing the passwords of their users. For
    /// exact figures compare the memory after different numbers of connections.
    Idle {
        /// Connections.
        #[arg(long, default_value_t = 1_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        connections: u32,
        /// Rooms that each user is a member of.
        #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(0..=1_000))]
        rooms: u32,
        /// Connections of each user.
        #[arg(long, default_value_t = 20, value_parser = value_parser!(u32).range(1..=10_000))]
        per_user: u32,
    },
}

#[allow(clippy::print_stdout, clippy::print_stderr, reason = "the report is what the program is for")]
fn main() -> ExitCode {
    match measure(Options::parse()) {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: Options) -> anyhow::Result<Report> {
    let mut runtime = match options.common.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let threads = usize::try_from(options.common.threads)?;
    runtime.worker_threads(threads).enable_all().build()?.block_on(run(options))
}

/// Does what `options` say.
///
/// # Errors
/// A message was lost, came twice or out of order; the server refused or closed; it cannot be reached.
pub(crate) async fn run(options: Options) -> anyhow::Result<Report> {
    let Common { url, seconds, bytes, rate, server_pid, allow_remote, .. } = options.common;
    let target = Target::find(&url, allow_remote).await?;
    let load = scenario::Load {
        target,
        lasts: Duration::from_secs(seconds),
        content_bytes: usize::try_from(bytes)?,
        rate,
        server: server_pid.map(process::Process::new),
    };
    match options.scenario {
        Scenario::OneToOne { pairs, window } => load.one_to_one(pairs, window).await,
        Scenario::Fanout { members, senders, window } => {
            anyhow::ensure!(senders <= members, "senders are members: there cannot be more of them");
            load.fanout(members, senders, window).await
        }
        Scenario::Rooms { rooms, senders, window } => load.rooms(rooms, senders, window).await,
        Scenario::Idle { connections, rooms, per_user } => load.idle(connections, rooms, per_user).await,
    }
}

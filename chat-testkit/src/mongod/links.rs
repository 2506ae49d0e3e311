//! The network of a replica set, which tests can cut: a proxy before each member, under whose port the member is known
//! to the others and to clients.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures::future::{join_all, try_join};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::peers;
use super::server::{Mongod, free_port};

/// How many bytes are carried at a time.
const CHUNK: usize = 64 << 10;

/// Before the next connection is taken when one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long bytes wait between members that are cut off from each other. Then their connection ends, so that none
/// waits for ever for an answer that was under way.
const HELD_BETWEEN_MEMBERS: Duration = Duration::from_secs(3);

/// One end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// Everybody who is no member of the set.
    Clients,
    /// A member, by its index.
    Member(usize),
}

impl From<usize> for Party {
    fn from(member: usize) -> Self {
        Self::Member(member)
    }
}

/// What is cut: nothing of the first reaches the second.
type Cuts = BTreeSet<(Party, Party)>;

/// A running network. It has a thread and a runtime of its own, so that it serves tests on any runtime.
#[derive(Debug)]
pub(super) struct Links {
    ports: Vec<u16>,
    cuts: watch::Sender<Cuts>,
    /// Ends the thread when it is dropped.
    running: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What a proxy knows about the rest.
#[derive(Debug, Clone)]
struct Network {
    members: Arc<[Mongod]>,
    cuts: watch::Receiver<Cuts>,
}

impl Links {
    /// A network of these members, with nothing cut.
    pub(super) fn start(members: &Arc<[Mongod]>) -> Self {
        assert!(
            peers::are_known(),
            "replica sets of tests need Linux: connections are told apart by their processes"
        );
        let listeners: Vec<std::net::TcpListener> = members.iter().map(|_| listener()).collect();
        let port = |listener: &std::net::TcpListener| listener.local_addr().map(|address| address.port());
        let ports: Result<Vec<u16>, _> = listeners.iter().map(port).collect();
        let ports = ports.expect("a bound listener has an address");
        let (cuts, receiver) = watch::channel(Cuts::new());
        let (running, stopped) = oneshot::channel();
        let network = Network { members: Arc::clone(members), cuts: receiver };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a test may start a runtime").block_on(async {
                let proxies =
                    listeners.into_iter().enumerate().map(|(to, listener)| proxy(to, listener, &network));
                tokio::select! {
                    _ = join_all(proxies) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { ports, cuts, running: Some(running), thread: Some(thread) }
    }

    /// The port that a member is known under.
    pub(super) fn port(&self, member: usize) -> u16 {
        self.ports[member]
    }

    /// Nothing of `from` reaches `to` any more.
    pub(super) fn cut(&self, links: impl IntoIterator<Item = (Party, Party)>) {
        self.cuts.send_modify(|cuts| cuts.extend(links));
    }

    /// What was held back arrives, and everything after it.
    pub(super) fn heal(&self) {
        self.cuts.send_modify(Cuts::clear);
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn listener() -> std::net::TcpListener {
    let listener = std::iter::repeat_with(|| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, free_port())))
        .take(100)
        .find_map(Result::ok)
        .expect("a free port can be bound");
    listener.set_nonblocking(true).expect("a listener can be polled");
    listener
}

/// Takes the connections to one member.
async fn proxy(to: usize, listener: std::net::TcpListener, network: &Network) {
    let listener = TcpListener::from_std(listener).expect("the runtime polls sockets");
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) => drop(connections.spawn(carry(stream, to, network.clone()))),
                    // The process has too many files open; that may pass.
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection, until both ends have closed it.
async fn carry(near: TcpStream, to: usize, network: Network) {
    let from = network.party(&near);
    let link = Link { from, to: Party::Member(to), cuts: network.cuts.clone() };
    let way_back = Link { from: Party::Member(to), to: from, cuts: network.cuts };
    // A cut network connects no one. Members would wait for ever for the first answer on a connection that is there;
    // clients have to cope with that.
    if from != Party::Clients && (link.is_cut() || way_back.is_cut()) {
        return;
    }
    // A member that is down closes the connection instead of refusing it.
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, network.members[to].port())).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_read, near_write), (far_read, far_write)) = (near.into_split(), far.into_split());
    let _ = try_join(link.pump(near_read, far_write), way_back.pump(far_read, near_write)).await;
}

/// One direction of a connection.
struct Link {
    from: Party,
    to: Party,
    cuts: watch::Receiver<Cuts>,
}

/// A connection ends in both directions at once.
struct Broken;

impl Link {
    fn is_cut(&self) -> bool {
        self.cuts.borrow().contains(&(self.from, self.to))
    }

    /// Carries bytes. While this is cut they wait, as they do in a sender's kernel, and so does the end.
    async fn pump(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> Result<(), Broken> {
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = from.read(&mut chunk).await.unwrap_or(0);
            self.until_whole().await?;
            if length == 0 {
                let _ = to.shutdown().await;
                return Ok(());
            }
            to.write_all(&chunk[..length]).await.map_err(|_| Broken)?;
        }
    }

    /// Waits while this is cut.
    async fn until_whole(&mut self) -> Result<(), Broken> {
        let link = (self.from, self.to);
        let is_between_members = link.0 != Party::Clients && link.1 != Party::Clients;
        let whole = self.cuts.wait_for(|cuts| !cuts.contains(&link));
        let is_whole = if is_between_members {
            timeout(HELD_BETWEEN_MEMBERS, whole).await.is_ok_and(|whole| whole.is_ok())
        } else {
            whole.await.is_ok()
        };
        if is_whole { Ok(()) } else { Err(Broken) }
    }
}

impl Network {
    /// Who has connected.
    fn party(&self, stream: &TcpStream) -> Party {
        let ports = stream.peer_addr().and_then(|peer| Ok((peer.port(), stream.local_addr()?.port())));
        let socket = ports.ok().and_then(|(from, to)| peers::socket(from, to));
        let Some(socket) = socket else { return Party::Clients };
        let holds =
            |member: &Mongod| member.process_id().is_some_and(|process| peers::holds(process, &socket));
        self.members.iter().position(holds).map_or(Party::Clients, Party::Member)
    }
}

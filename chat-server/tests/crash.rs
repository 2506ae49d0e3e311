//! The real binary, killed in the middle of its work: nothing that was acknowledged is
//! lost, nothing is stored or delivered twice, and no order is broken.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::future::{join, join_all, join3};
use serde_json::{Value, json};
use support::people::Device;
use support::replica::Replica;
use support::traffic::{Receipt, Sender, check_log};
use support::{Ended, Server, Store, on_every_store};
use tokio::sync::watch;

on_every_store! {
    a_server_that_is_killed_again_and_again_loses_doubles_and_reorders_nothing,
}

const SENDERS: [&str; 4] = ["ann", "bob", "cid", "dora"];
const EACH: usize = 2_500;
const TOTAL: usize = SENDERS.len() * EACH;
/// Acknowledgements after which the server is killed.
const KILLS: [usize; 3] = [1_500, 5_000, 8_500];

/// Somebody who only listens, and comes back after each crash.
struct Listener {
    device: Device,
    replica: Replica,
}

impl Listener {
    /// Listens until everything has come or the server is gone.
    async fn listen(&mut self, server: &Server) {
        self.device = server.resume(&self.device).await;
        self.replica.reconnected();
        self.replica.catch_up(&mut self.device).await;
        while self.replica.message_count() < TOTAL {
            match self.device.next_frame().await {
                Ok(frame) => self.replica.take(&frame),
                Err(_closed) => return,
            }
        }
    }
}

struct World {
    rooms: Vec<String>,
    devices: Vec<Device>,
    senders: Vec<Sender>,
    listeners: Vec<Listener>,
    acknowledged: watch::Sender<usize>,
}

impl World {
    async fn new(server: &Server) -> Self {
        let mut devices = join_all(SENDERS.map(|name| server.newcomer(name))).await;
        let mut listening = vec![server.newcomer("eve").await, server.device("ann").await];
        let mut members: Vec<&mut Device> = devices.iter_mut().chain(&mut listening[..1]).collect();
        let mut rooms = Vec::new();
        for _ in 0..3 {
            rooms.push(server.room_of(&mut members).await);
        }
        let listener = |device| Listener { device, replica: Replica::of(&rooms) };
        let listeners = listening.into_iter().map(listener).collect();
        let senders = SENDERS.map(|name| Sender::new(name, &rooms, EACH)).into();
        Self { rooms, devices, senders, listeners, acknowledged: watch::channel(0).0 }
    }

    /// Everybody is back on this server and goes on, until it is killed or all is done.
    async fn go_on(&mut self, server: Server, kill_at: Option<usize>) -> Result<Server, Ended> {
        self.devices = join_all(self.devices.iter().map(|device| server.resume(device))).await;
        let mut progress = self.acknowledged.subscribe();
        let (devices, acknowledged) = (&mut self.devices, &self.acknowledged);
        let sending = self.senders.iter_mut().zip(devices);
        let sending = join_all(sending.map(|(sender, device)| sender.send(device, acknowledged)));
        let listening = join_all(self.listeners.iter_mut().map(|listener| listener.listen(&server)));
        let Some(kill_at) = kill_at else {
            join(sending, listening).await;
            return Ok(server);
        };
        let killing = async {
            progress.wait_for(|count| *count >= kill_at).await.unwrap();
            server.signal(rustix::process::Signal::KILL);
        };
        join3(sending, listening, killing).await;
        Err(server.into_ended())
    }
}

/// A check that finds nothing would let everything pass.
#[test]
fn the_check_of_logs_finds_what_is_wrong_with_them() {
    let room = "harbour".to_owned();
    let message = |seq: usize| {
        let client_id = format!("ann-{:05}", seq - 5);
        json!({"seq": seq, "message_id": format!("m{seq}"), "timestamp": "t", "client_id": client_id})
    };
    let log: Vec<Value> = (5..11).map(message).collect();
    let mut ann = Sender::new("ann", std::slice::from_ref(&room), 6);
    ann.acknowledged = log.iter().map(Receipt::of).enumerate().collect();
    let holds = |log: &[Value], ann: &Sender| {
        let check = || check_log(&room, log, std::slice::from_ref(ann));
        catch_unwind(AssertUnwindSafe(check)).is_ok()
    };
    assert!(holds(&log, &ann));

    let without = |at: usize| [&log[..at], &log[at + 1..]].concat();
    assert!(!holds(&without(2), &ann), "a hole");
    assert!(!holds(&without(5), &ann), "an acknowledged message that is missing");
    let mut twice = log.clone();
    twice.push(log[5].clone());
    assert!(!holds(&twice, &ann), "an entry that comes twice");
    twice[6]["seq"] = json!(11);
    assert!(!holds(&twice, &ann), "a message that is stored twice");
    let mut renumbered = log.clone();
    renumbered[3]["message_id"] = json!("another");
    assert!(!holds(&renumbered, &ann), "not what was acknowledged");
    let mut reordered = log;
    reordered[2]["client_id"] = json!("ann-00003");
    reordered[3]["client_id"] = json!("ann-00002");
    ann.acknowledged.clear();
    assert!(!holds(&reordered, &ann), "the order of the sender");
}

async fn a_server_that_is_killed_again_and_again_loses_doubles_and_reorders_nothing(store: Store) {
    let mut server = store.start();
    let mut world = World::new(&server).await;
    for kill_at in KILLS {
        let ended = world.go_on(server, Some(kill_at)).await.expect_err("it was killed");
        assert_eq!(ended.code, None, "{}", ended.log);
        let acknowledged = *world.acknowledged.borrow();
        assert!((kill_at..TOTAL).contains(&acknowledged), "killed in the middle, at {acknowledged}");
        server = ended.again().start();
    }
    let server = world.go_on(server, None).await.expect("it went on");
    let World { rooms, mut devices, senders, listeners, .. } = world;

    let mut stored = BTreeSet::new();
    for room in &rooms {
        let log = devices[0].history(room).await;
        stored.extend(check_log(room, &log, &senders));
        for listener in &listeners {
            let copy = listener.replica.room(room);
            assert_eq!(copy.paged, 0, "nobody was away for long");
            assert!(copy.messages == log, "a listener has another log than the store");
        }
    }
    assert_eq!(stored.len(), TOTAL);

    for (sender, device) in senders.iter().zip(&mut devices) {
        let numbers: Vec<usize> = (0..EACH).step_by(25).collect();
        let again = device.pipeline(numbers.iter().map(|number| sender.request(*number))).await;
        let first: Vec<Receipt> = numbers.iter().map(|number| sender.acknowledged[number].clone()).collect();
        assert_eq!(again.iter().map(Receipt::of).collect::<Vec<_>>(), first, "the first result comes again");
    }
    drop(server);
}

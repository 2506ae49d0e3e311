//! Publishing, reading, entering and leaving at the same time, on real threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// Reads with small batches, as woken, until `is_all` says that it was all, or the connection is too slow.
async fn read_until(client: &Client, is_all: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut got = Vec::new();
    let reading = async {
        while !is_all(&got) {
            client.outbox().notified().await;
            let (taken, texts) = client.take(got.len() % 30 + 1);
            got.extend(texts);
            match taken {
                Taken::Behind(behind) => {
                    let part = stored(&behind).into_iter().take(20).collect();
                    client.outbox().advance(&behind, part);
                }
                Taken::Frames | Taken::Presence(_) | Taken::Nothing => {}
                Taken::Closed(DisconnectReason::TooSlow) => return,
                Taken::Closed(reason) => panic!("closed: {reason:?}"),
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("everything arrives");
    got
}

fn numbers(texts: &[String], conversation: ConversationId) -> Vec<u64> {
    let start = format!("{}:", conversation.as_bytes()[0]);
    texts.iter().filter_map(|text| text.strip_prefix(&start)).map(|number| number.parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn racing_publishers_and_readers_lose_and_double_nothing() {
    const ENTRIES: u64 = 3_000;
    let hub = Arc::new(hub());
    let rooms = [1, 2, 3].map(|number| ConversationId::from_bytes([number; 12]));
    let mut readers = tokio::task::JoinSet::new();
    // The slowest reader bounds how far publishers may be ahead.
    let read = Arc::new([0; 6].map(AtomicU64::new));
    for number in 0..6 {
        let client = Client::attach(&hub, user(number));
        let all = rooms.map(|conversation| Subscription { conversation, after: Seq::ZERO, member_count: 6 });
        hub.enter(client.connection.id, all.into());
        let read = Arc::clone(&read);
        readers.spawn(async move {
            read_until(&client, |got| {
                read[usize::from(number)].store(got.len() as u64 / 3, Ordering::Relaxed);
                got.len() as u64 == ENTRIES * 3
            })
            .await
        });
    }
    let publishers = rooms.map(|room| {
        let (hub, read) = (Arc::clone(&hub), Arc::clone(&read));
        thread::spawn(move || {
            for number in 1..=ENTRIES {
                while read.iter().any(|read| read.load(Ordering::Relaxed) + 300 < number) {
                    thread::yield_now();
                }
                publish(&hub, room, number..=number);
            }
        })
    });
    while let Some(got) = readers.join_next().await {
        let got = got.unwrap();
        for room in rooms {
            assert_eq!(numbers(&got, room), (1..=ENTRIES).collect::<Vec<_>>());
        }
    }
    publishers.into_iter().for_each(|thread| thread.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn entering_while_entries_are_published_misses_none() {
    const ENTRIES: u64 = 20_000;
    let hub = Arc::new(hub());
    let head = Arc::new(AtomicU64::new(0));
    let (publishing, stored_head) = (Arc::clone(&hub), Arc::clone(&head));
    let publisher = thread::spawn(move || {
        for number in 1..=ENTRIES {
            stored_head.store(number, Ordering::SeqCst);
            publish(&publishing, ROOM, number..=number);
            thread::yield_now();
        }
    });
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (hub, head) = (Arc::clone(&hub), Arc::clone(&head));
        tasks.spawn(async move {
            loop {
                let client = Client::attach(&hub, user(number));
                let after = head.load(Ordering::SeqCst);
                client.enter(&hub, ROOM, after);
                let upto = (after + 5).min(ENTRIES);
                let got = read_until(&client, |got| got.len() as u64 >= upto - after).await;
                let got = numbers(&got, ROOM);
                assert_eq!(got, (after + 1..=after + got.len() as u64).collect::<Vec<_>>());
                client.detach(&hub);
                assert!(client.drain().is_empty(), "nothing after the end");
                if after == ENTRIES {
                    break;
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    publisher.join().unwrap();
    let (ring_bytes, [connections, _, channels, attaching, unheard, _]) = hub.sizes();
    assert_eq!([ring_bytes, connections, channels, attaching, unheard], [0; 5]);
}

/// A log in which user 1 joins and leaves all the time: what the store would answer.
#[derive(Default)]
struct Log {
    head: u64,
    is_member: bool,
    /// The entries that user 1 may see.
    visible: Vec<u64>,
}

/// Publishes that log, not too far ahead of who reads it from its beginning.
fn publish_joins_and_leaves(hub: &LocalHub, log: &Mutex<Log>, entries: u64, read: &[AtomicU64; 2]) {
    for number in 1..=entries {
        while read.iter().any(|read| read.load(Ordering::Relaxed) + 300 < number) {
            thread::yield_now();
        }
        let membership = match number % 10 {
            1 => Membership::Begins(vec![user(1)]),
            6 => Membership::Ends(user(1)),
            _ => Membership::Unchanged,
        };
        {
            let mut log = log.lock().unwrap();
            log.head = number;
            log.is_member = (1..=5).contains(&(number % 10));
            if (1..=6).contains(&(number % 10)) {
                log.visible.push(number);
            }
        }
        publish_membership(hub, ROOM, number, membership);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nothing_outside_a_membership_is_delivered_however_it_races() {
    const ENTRIES: u64 = 20_006;
    let hub = Arc::new(hub());
    let log = Arc::new(Mutex::new(Log::default()));
    let stayer = Client::attach(&hub, user(1));
    stayer.enter(&hub, OTHER_ROOM, 0);
    let other = Client::join(&hub, user(2), ROOM, 0);
    let read = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let (publishing, writing, reading) = (Arc::clone(&hub), Arc::clone(&log), Arc::clone(&read));
    let publisher = thread::spawn(move || publish_joins_and_leaves(&publishing, &writing, ENTRIES, &reading));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let (hub, log) = (Arc::clone(&hub), Arc::clone(&log));
        tasks.spawn(async move {
            loop {
                let device = Client::attach(&hub, user(1));
                let (head, is_member) = {
                    let log = log.lock().unwrap();
                    (log.head, log.is_member)
                };
                if head > ENTRIES - 100 {
                    break;
                }
                let room = is_member.then_some(ROOM).into_iter();
                let subscription =
                    |conversation| Subscription { conversation, after: seq(head), member_count: 2 };
                hub.enter(device.connection.id, room.map(subscription).collect());
                let got = read_until(&device, |got| got.len() >= 20).await;
                device.detach(&hub);
                if got.is_empty() {
                    continue;
                }
                let got = numbers(&got, ROOM);
                let visible = log.lock().unwrap().visible.clone();
                let from = visible.iter().position(|number| *number == got[0]).expect("a visible entry");
                assert_eq!(got, visible[from..from + got.len()], "after {head}");
                // A membership that ended and began again before the device entered is not completed.
                let is_excused = |number: u64| number <= head || number / 10 == head / 10;
                assert!(visible[..from].iter().all(|number| is_excused(*number)), "after {head}: {got:?}");
                tokio::task::yield_now().await;
            }
        });
    }
    let last = text(ROOM, ENTRIES);
    let is_all = |reader: usize| {
        let (read, last) = (&read[reader], &last);
        move |got: &[String]| {
            // Four entries in ten are not for the one who joins and leaves.
            let last_read = got.last().map_or(0, |_| numbers(&got[got.len() - 1..], ROOM)[0] + 5);
            read.store(last_read, Ordering::Relaxed);
            got.last() == Some(last)
        }
    };
    let (got, visible) = tokio::join!(read_until(&other, is_all(0)), read_until(&stayer, is_all(1)));
    assert_eq!(numbers(&got, ROOM), (1..=ENTRIES).collect::<Vec<_>>());
    assert_eq!(numbers(&visible, ROOM), log.lock().unwrap().visible);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    publisher.join().unwrap();
}

#[test]
fn nothing_leaves_after_a_disconnect_or_a_detach_has_returned() {
    const ENTRIES: u64 = 250;
    for round in 0..200 {
        let hub = hub();
        let client = Arc::new(Client::join(&hub, user(1), ROOM, 0));
        publish(&hub, ROOM, 1..=ENTRIES);
        let (ended, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (taking, was_ended, count) = (Arc::clone(&client), Arc::clone(&ended), Arc::clone(&taken));
        let taker = thread::spawn(move || {
            loop {
                let must_be_empty = was_ended.load(Ordering::SeqCst);
                let (taken, texts) = taking.take(1);
                assert!(!must_be_empty || texts.is_empty(), "{texts:?}");
                count.fetch_add(1, Ordering::SeqCst);
                if must_be_empty {
                    return taken;
                }
            }
        });
        while taken.load(Ordering::SeqCst) < round {
            std::hint::spin_loop();
        }
        if round % 2 == 0 {
            client.detach(&hub);
        } else {
            hub.disconnect(user(1), None, None, DisconnectReason::SessionEnded);
        }
        ended.store(true, Ordering::SeqCst);
        let end = taker.join().unwrap();
        assert_eq!(round % 2 == 0, matches!(end, Taken::Nothing), "{end:?}");
    }
}

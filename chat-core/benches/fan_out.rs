//! What one delivery costs inside the hub: publishing to the members of one conversation, and each of
//! them taking its frames. Sockets are not part of it.

use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use chat_core::domain::{Entry, EntryBody, Event, Seq};
use chat_core::hub::{ConnectionId, Frame, LocalHub, Outbox, Taken};
use chat_core::id::{ConversationId, EntryId, SessionId, UserId};
use chat_core::port::{Connection, LiveEntry, Membership, PresenceHub, Publication, Subscription};
use chat_core::time::Timestamp;
use criterion::{Criterion, Throughput};

const CONVERSATION: ConversationId = ConversationId::from_bytes([1; 12]);

/// A hub with `members` connections in one conversation, whose head only rises.
struct Room {
    hub: LocalHub,
    outboxes: Vec<Arc<Outbox>>,
    head: Seq,
    batch: Vec<Frame>,
}

impl Room {
    fn new(members: u32) -> Self {
        let hub = LocalHub::new(Duration::from_secs(5), Duration::from_millis(500));
        let outboxes = (0..members)
            .map(|_| {
                let outbox = Arc::new(Outbox::new());
                let (id, session_id) = (ConnectionId::next(), SessionId::generate());
                let user_id = UserId::generate();
                hub.attach(Connection { id, user_id, session_id, outbox: Arc::clone(&outbox) });
                let subscription =
                    Subscription { conversation: CONVERSATION, after: Seq::ZERO, member_count: members };
                hub.enter(id, vec![subscription]);
                outbox
            })
            .collect();
        Self { hub, outboxes, head: Seq::ZERO, batch: Vec::new() }
    }

    fn publish(&mut self, frame: &Frame) {
        self.head = self.head.next();
        let entry = Entry {
            conversation: CONVERSATION,
            seq: self.head,
            id: EntryId::from_bytes([0; 12]),
            by: UserId::from_bytes([0; 12]),
            timestamp: Timestamp::default(),
            messages_so_far: 0,
            body: EntryBody::Event(Event::Created),
        };
        self.hub.publish(Publication {
            conversation: CONVERSATION,
            entries: vec![LiveEntry { entry, frame: frame.clone(), membership: Membership::Unchanged }],
            member_count: self.outboxes.len() as u32,
            is_ours: true,
        });
    }

    /// Every member takes everything and waits again, as a connection's task does.
    fn take_all(&mut self) -> usize {
        let mut context = Context::from_waker(Waker::noop());
        let mut count = 0;
        for outbox in &self.outboxes {
            while matches!(outbox.take(&mut self.batch, 64 * 1_024), Taken::Frames) {
                count += self.batch.len();
                self.batch.clear();
            }
            let waiting = std::pin::pin!(outbox.notified());
            assert!(black_box(waiting.poll(&mut context)).is_pending());
        }
        count
    }
}

fn fan_out(criterion: &mut Criterion) {
    let frame = Frame::new("x".repeat(300));
    let mut group = criterion.benchmark_group("fan_out");
    for members in [10, 1_000] {
        for messages in [1_u32, 10, 40] {
            let mut room = Room::new(members);
            group.throughput(Throughput::Elements(u64::from(members * messages)));
            group.bench_function(format!("{members}_members/{messages}_messages"), |bencher| {
                bencher.iter(|| {
                    (0..messages).for_each(|_| room.publish(&frame));
                    assert_eq!(room.take_all(), (members * messages) as usize);
                });
            });
        }
    }
    group.finish();
}

/// What publishing costs while nobody comes to take: busy members are not touched.
fn publish_to_busy_members(criterion: &mut Criterion) {
    let frame = Frame::new("x".repeat(300));
    let mut room = Room::new(1_000);
    criterion.bench_function("publish_to_1000_busy_members", |bencher| bencher.iter(|| room.publish(&frame)));
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    fan_out(&mut criterion);
    publish_to_busy_members(&mut criterion);
    criterion.final_summary();
}

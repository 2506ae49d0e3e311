//! Writers that send and send again until they are told that it is stored, and the check of what then is in the logs.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chat_core::domain::{
    Content, ConversationKind, Draft, Entry, EntryBody, Event, Head, Message, MessageKind, RoomName, Topic,
    Visibility,
};
use chat_core::error::{Retry, StoreError};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Append, Appended, NewConversation, RoomStore};
use chat_core::time::Timestamp;
use chat_store_mongo::{MongoConfig, MongoStore};
use mongodb::Client;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Document, doc};
use mongodb::options::{ReadConcern, SelectionCriteria};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Drafts of one call.
const BATCH: usize = 3;

/// A room of the database, without events after its creation.
pub(crate) async fn room(store: &dyn RoomStore) -> ConversationId {
    room_of(store, UserId::generate()).await
}

/// As [`room`], of this owner.
pub(crate) async fn room_of(store: &dyn RoomStore, owner: UserId) -> ConversationId {
    let new = NewConversation {
        id: ConversationId::generate(),
        kind: ConversationKind::Room {
            name: RoomName::new("Lobby").unwrap(),
            topic: Topic::new("").unwrap(),
            visibility: Visibility::Public,
        },
        created_by: owner,
        created_at: Timestamp::from_unix_ms(1),
        entry_id: EntryId::generate(),
    };
    let id = new.id;
    store.create(new).await.expect("a creation while all is well");
    id
}

pub(crate) fn draft(text: &str) -> Draft {
    let message = Message { content: Content::new(text).unwrap(), kind: MessageKind::Text, client_id: None };
    Draft {
        id: EntryId::generate(),
        by: UserId::from_bytes([7; 12]),
        timestamp: Timestamp::from_unix_ms(2),
        body: EntryBody::Message(message),
    }
}

pub(crate) async fn open(uri: &str, database: &str) -> MongoStore {
    MongoStore::open(MongoConfig::new(uri, database)).await.expect("a database that opens")
}

/// What writers saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// What was acknowledged, by conversation.
    acknowledged: Vec<Entry>,
    /// Refusals that said that nothing was stored.
    pub(crate) unavailable: usize,
    /// Refusals that said that nobody knows.
    pub(crate) unknown: usize,
    /// The longest time between two acknowledgements to one writer.
    pub(crate) longest_wait: Duration,
}

/// Writers at work.
pub(crate) struct Writers {
    tasks: JoinSet<Seen>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Writers {
    /// `writers` for each conversation, as so many servers would write; each through its own clone of a store.
    pub(crate) fn start(stores: &[MongoStore], conversations: &[ConversationId]) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        for (number, store) in stores.iter().enumerate() {
            for conversation in conversations {
                let writer = Writer {
                    store: store.clone(),
                    conversation: *conversation,
                    name: format!("{number}"),
                    stop: stop.clone(),
                    acknowledged: acknowledged.clone(),
                };
                tasks.spawn(writer.run());
            }
        }
        Self { tasks, stop, acknowledged }
    }

    /// Waits until `count` more drafts were acknowledged.
    pub(crate) async fn progress(&self, count: usize) -> Duration {
        let began = Instant::now();
        let goal = self.acknowledged.load(Ordering::Relaxed) + count;
        while self.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(began.elapsed() < PATIENCE, "nothing is acknowledged any more");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        began.elapsed()
    }

    /// Lets every writer finish what it has begun.
    pub(crate) async fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        while let Some(seen) = self.tasks.join_next().await {
            let seen = seen.expect("a writer that did not panic");
            all.acknowledged.extend(seen.acknowledged);
            all.unavailable += seen.unavailable;
            all.unknown += seen.unknown;
            all.longest_wait = all.longest_wait.max(seen.longest_wait);
        }
        all
    }
}

struct Writer {
    store: MongoStore,
    conversation: ConversationId,
    name: String,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
}

impl Writer {
    async fn run(self) -> Seen {
        let mut seen = Seen::default();
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let mut drafts: Vec<Draft> =
                (0..BATCH).map(|part| draft(&format!("{} {} {}", self.name, number, part))).collect();
            // Now and then the membership changes as well.
            if number % 10 == 9 {
                let user = UserId::generate();
                drafts.push(Draft {
                    body: EntryBody::Event(Event::Joined { user }),
                    by: user,
                    ..draft("join")
                });
            }
            number += 1;
            let began = Instant::now();
            let entries = self.send(drafts, &mut seen).await;
            seen.longest_wait = seen.longest_wait.max(began.elapsed());
            self.acknowledged.fetch_add(entries.len(), Ordering::Relaxed);
            seen.acknowledged.extend(entries);
        }
        seen
    }

    /// Sends drafts under their ids until they are acknowledged.
    async fn send(&self, drafts: Vec<Draft>, seen: &mut Seen) -> Vec<Entry> {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "a writer was never acknowledged");
            match self.try_send(&drafts).await {
                Ok(Some(entries)) => return entries,
                Ok(None) => {}
                Err(error) => {
                    match error.retry() {
                        Retry::Safe => seen.unavailable += 1,
                        Retry::OutcomeUnknown => seen.unknown += 1,
                        Retry::Never => panic!("{error}"),
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// `None` when another writer was faster.
    async fn try_send(&self, drafts: &[Draft]) -> Result<Option<Vec<Entry>>, StoreError> {
        let conversation = self.store.conversation(self.conversation).await?;
        let head = conversation.expect("it was created").head;
        match self.store.append(self.conversation, head, drafts.to_vec()).await? {
            Append::Conflict(other) => {
                assert_ne!(other, head, "a conflict tells another head");
                Ok(None)
            }
            Append::Done(outcomes) => {
                let entries = outcomes.into_iter().map(|outcome| match outcome {
                    Appended::New(entry) | Appended::Duplicate(entry) => entry,
                });
                Ok(Some(entries.collect()))
            }
        }
    }
}

/// The rows of a log, as the servers have them. `uri` may name one member.
pub(crate) async fn rows_of(uri: &str, database: &str, conversation: ConversationId) -> Vec<Document> {
    let began = Instant::now();
    loop {
        match try_rows_of(uri, database, conversation).await {
            Ok(rows) => return rows,
            Err(error) => assert!(began.elapsed() < PATIENCE, "the log cannot be read: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn try_rows_of(
    uri: &str,
    database: &str,
    conversation: ConversationId,
) -> mongodb::error::Result<Vec<Document>> {
    use futures::TryStreamExt as _;
    let client = Client::with_uri_str(uri).await?;
    let log = client.database(database).collection::<Document>("messages");
    let mut find = log.find(doc! { "conversation": ObjectId::from_bytes(*conversation.as_bytes()) });
    if uri.contains("replicaSet") {
        find = find
            .read_concern(ReadConcern::majority())
            .selection_criteria(SelectionCriteria::ReadPreference(mongodb::options::ReadPreference::Primary));
    }
    find.sort(doc! { "seq": 1 }).await?.try_collect().await
}

/// The numbers of a log.
pub(crate) fn numbers(rows: &[Document]) -> Vec<i64> {
    rows.iter().map(|row| row.get_i64("seq").expect("a number")).collect()
}

/// Panics unless the logs have no hole and hold everything that was acknowledged, once and where it was said to be.
pub(crate) async fn check(uri: &str, database: &str, conversations: &[ConversationId], seen: &Seen) {
    assert!(!seen.acknowledged.is_empty());
    for conversation in conversations {
        let rows = rows_of(uri, database, *conversation).await;
        let dense: Vec<i64> = (1..).take(rows.len()).collect();
        assert_eq!(numbers(&rows), dense, "the log has no hole");
        let mut by_id: HashMap<ObjectId, &Document> = HashMap::new();
        for row in &rows {
            let before = by_id.insert(row.get_object_id("_id").unwrap(), row);
            assert!(before.is_none(), "an entry is there twice");
        }
        let mut contents: Vec<&str> = rows.iter().filter_map(|row| row.get_str("content").ok()).collect();
        let count = contents.len();
        contents.sort_unstable();
        contents.dedup();
        assert_eq!(contents.len(), count, "no content is there twice");

        let mine = seen.acknowledged.iter().filter(|entry| entry.conversation == *conversation);
        let mut counted = 0;
        for entry in mine {
            counted += 1;
            let row = by_id.get(&ObjectId::from_bytes(*entry.id.as_bytes()));
            let row = row.unwrap_or_else(|| panic!("{entry:?} was acknowledged and is lost"));
            assert_eq!(row.get_i64("seq").unwrap(), entry.seq.get() as i64, "it is where it was said to be");
            if let EntryBody::Message(message) = &entry.body {
                assert_eq!(row.get_str("content").unwrap(), message.content.as_str());
            }
        }
        assert_eq!(counted + 1, rows.len(), "everything but the creation was acknowledged in the end");
        check_members(uri, database, *conversation, &rows).await;
    }
}

/// The members are what the log says.
async fn check_members(uri: &str, database: &str, conversation: ConversationId, rows: &[Document]) {
    let joins =
        rows.iter().filter(|row| row.get_str("type").is_ok_and(|kind| kind == "joined")).count() as i64;
    let client = Client::with_uri_str(uri).await.unwrap();
    let id = ObjectId::from_bytes(*conversation.as_bytes());
    let database = client.database(database);
    let room =
        database.collection::<Document>("chat_rooms").find_one(doc! { "_id": id }).await.unwrap().unwrap();
    assert_eq!(room.get_i64("member_count").unwrap(), joins + 1);
    let members = database.collection::<Document>("members");
    let joined = members.count_documents(doc! { "conversation": id, "state": "joined" }).await.unwrap();
    assert_eq!(joined as i64, joins + 1);
}

/// The head that a log should have, for those who write without asking a store.
pub(crate) fn head_at(seq: u64) -> Head {
    use chat_core::domain::Seq;
    Head { seq: Seq::new(seq).unwrap(), messages: seq - 1 }
}

impl Seen {
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} acknowledged, {} times unavailable, {} times unknown, longest wait {:?}",
            self.acknowledged.len(),
            self.unavailable,
            self.unknown,
            self.longest_wait
        )
    }
}

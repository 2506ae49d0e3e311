//! Commands that fail in the middle of a call, and replies that are lost after the command was executed.

use std::time::Duration;

use chat_core::domain::DisplayName;
use chat_core::error::{Retry, StoreError};
use chat_core::port::{
    AccountCreation, AccountStore, PasswordWrite, Revocation, Rotation, Session, SessionMatch, SessionTokens,
    TokenHash,
};
use chat_store_mongo::{MongoConfig, MongoStore};
use chat_testkit::mongod::Mongod;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use tokio::time::Instant;

use super::lossy::Lossy;
use super::rows::{DAY, at, count, new_account, session, tokens, user};
use crate::support::TestDatabase;

const DATABASE: &str = "chat";
const PATIENCE: Duration = Duration::from_secs(20);

/// A server of its own that does as it is told.
struct Faulty {
    server: Mongod,
}

impl Faulty {
    async fn start() -> Self {
        Self { server: Mongod::start().await }
    }

    async fn open(&self) -> MongoStore {
        MongoStore::open(MongoConfig::new(self.server.uri(), DATABASE)).await.unwrap()
    }

    async fn beside(&self) -> mongodb::Database {
        Client::with_uri_str(self.server.uri()).await.unwrap().database(DATABASE)
    }

    /// Lets the next `spared` commands pass and refuses all after them, as if the process had died there.
    async fn die_after(&self, spared: i32) {
        let mode = match spared {
            0 => Bson::from("alwaysOn"),
            _ => doc! { "skip": spared }.into(),
        };
        let commands = ["insert", "update", "delete", "find"].as_slice();
        self.fail(mode, doc! { "failCommands": commands, "errorCode": 13 }).await;
    }

    /// Executes the next write, and says that it cannot wait for it to be durable.
    async fn acknowledge_nothing_once(&self) {
        let commands = ["insert", "update", "delete"].as_slice();
        let error = doc! { "code": 64, "errmsg": "no majority" };
        let data = doc! { "failCommands": commands, "writeConcernError": error };
        self.fail(doc! { "times": 1 }.into(), data).await;
    }

    async fn fail(&self, mode: Bson, data: Document) {
        let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
        self.server.run_command(command).await.unwrap();
    }

    /// Holds the next update up for a while; what this answers ends when it is there.
    async fn hold_an_update_up(&self) -> impl Future<Output = ()> {
        let data = doc! { "failCommands": ["update"], "blockConnection": true, "blockTimeMS": 2_000 };
        let block = doc! { "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data };
        let entered =
            self.server.run_command(block).await.unwrap().get("count").and_then(number).unwrap_or(0);
        let wait =
            doc! { "waitForFailPoint": "failCommand", "timesEntered": entered + 1, "maxTimeMS": 20_000 };
        async move { drop(self.server.run_command(wait).await.unwrap()) }
    }

    /// Begins a call and gives it up when the server has its update, which is executed later.
    async fn give_up<T>(&self, call: impl Future<Output = T>) {
        let is_there = self.hold_an_update_up().await;
        tokio::select! {
            _ = call => panic!("the update was not held up"),
            () = is_there => {}
        }
    }

    async fn mend(&self) {
        let command = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.server.run_command(command).await.unwrap();
    }
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_answered_as_done() {
    let faulty = Faulty::start().await;
    let way = Lossy::to(faulty.server.port()).await;
    let store = MongoStore::open(MongoConfig::new(way.uri(), DATABASE)).await.unwrap();
    let ann = new_account("Ann");
    way.lose_a_reply();
    assert_eq!(store.create_account(ann.clone()).await.unwrap(), AccountCreation::Created);
    assert!(way.has_lost_it());

    way.lose_a_reply();
    assert_eq!(store.create_account(new_account("ann")).await.unwrap(), AccountCreation::NameTaken);
    assert!(way.has_lost_it());
    assert_eq!(store.all_accounts(None, 10).await.unwrap().len(), 1);

    way.lose_a_reply();
    let set = store.set_password(ann.user_id, &ann.password_hash, "$argon2id$2", PasswordWrite::Changed);
    assert!(set.await.unwrap());
    assert!(way.has_lost_it());

    let old = session(ann.user_id, at(0));
    way.lose_a_reply();
    store.create_session(old.clone()).await.unwrap();
    assert!(way.has_lost_it());

    let new = tokens(at(60));
    way.lose_a_reply();
    let rotation = store.rotate_session(old.session_id, old.tokens.refresh, new).await.unwrap();
    assert_eq!(rotation, Rotation::Done);
    assert!(way.has_lost_it());
    let current = Session { tokens: new, last_used_at: at(60), ..old.clone() };
    assert_eq!(store.session_by_access(new.access).await.unwrap(), Some(current));

    way.lose_a_reply();
    let ended = store.end_sessions(vec![old.session_id], at(90)).await.unwrap();
    let revocation = Revocation { session_id: old.session_id, user_id: ann.user_id, ended_at: at(90) };
    assert_eq!(ended, [revocation]);
    assert!(way.has_lost_it());
    assert_eq!(store.revocations_since(at(0)).await.unwrap(), [revocation]);
}

fn number(value: &Bson) -> Option<i64> {
    value.as_i64().or(value.as_i32().map(i64::from))
}

#[tokio::test]
async fn a_change_of_an_account_that_comes_late_does_not_undo_a_newer_one() {
    let faulty = Faulty::start().await;
    let (store, beside) = (faulty.open().await, faulty.beside().await);
    let ann = new_account("Ann");
    store.create_account(ann.clone()).await.unwrap();
    beside.run_command(doc! { "profile": 2 }).await.unwrap();
    let name = |name| DisplayName::new(name).unwrap();
    faulty.give_up(store.set_display_name(ann.user_id, &name("PhpChat"))).await;
    store.set_display_name(ann.user_id, &name("Newer")).await.unwrap();
    faulty.give_up(store.set_disabled(ann.user_id, false)).await;
    assert!(store.set_disabled(ann.user_id, true).await.unwrap());

    let updates = doc! { "op": "update", "ns": format!("{DATABASE}.users") };
    let deadline = Instant::now() + PATIENCE;
    while beside.collection::<Document>("system.profile").count_documents(updates.clone()).await.unwrap() < 4
    {
        assert!(Instant::now() < deadline, "the late updates never came");
        // The server notes each question, too, and forgets the oldest notes.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let account = store.account(ann.user_id).await.unwrap().unwrap();
    assert_eq!((account.display_name.as_str(), account.disabled), ("Newer", true));
}

#[tokio::test]
async fn a_write_that_was_not_acknowledged_is_not_said_to_be_undone() {
    let faulty = Faulty::start().await;
    let store = faulty.open().await;
    let ann = new_account("Ann");
    faulty.acknowledge_nothing_once().await;
    let error = store.create_account(ann.clone()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::OutcomeUnknown, "{error:?}");
    // Calls are refused for a moment.
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store.create_account(ann.clone()).await {
            Ok(creation) => return assert_eq!(creation, AccountCreation::Created),
            Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

/// A session with the refresh tokens that it had and when they were replaced.
struct History {
    current: Session,
    replaced: Vec<(TokenHash, SessionTokens)>,
}

impl History {
    async fn begin(store: &MongoStore, rotations: u64) -> Self {
        let current = session(user(), at(0));
        store.create_session(current.clone()).await.unwrap();
        let mut history = Self { current, replaced: Vec::new() };
        for number in 1..=rotations {
            let new = tokens(at(number));
            assert_eq!(history.rotate(store, new).await.unwrap(), Rotation::Done);
            history.note(new);
        }
        history
    }

    async fn rotate(&self, store: &MongoStore, new: SessionTokens) -> Result<Rotation, StoreError> {
        store.rotate_session(self.current.session_id, self.current.tokens.refresh, new).await
    }

    fn note(&mut self, new: SessionTokens) {
        self.replaced.push((self.current.tokens.refresh, new));
        self.current.tokens = new;
        self.current.last_used_at = new.issued_at;
    }

    async fn check(&self, store: &MongoStore) {
        let current = self.current.clone();
        let found = store.session_by_refresh(current.tokens.refresh).await.unwrap();
        assert_eq!(found, Some(SessionMatch::Current(current.clone())));
        for (token, by) in &self.replaced {
            let found = store.session_by_refresh(*token).await.unwrap();
            let replaced_at = by.issued_at;
            assert_eq!(found, Some(SessionMatch::Replaced { session: current.clone(), replaced_at }));
        }
    }
}

#[tokio::test]
async fn a_rotation_that_is_cut_off_loses_no_token() {
    let faulty = Faulty::start().await;
    let store = faulty.open().await;
    let mut cut_off = 0;
    // A session that was never rotated keeps nothing, the others keep what the rotation before replaced.
    for rotations in 0..3 {
        let mut history = History::begin(&store, rotations).await;
        for spared in 0.. {
            let new = tokens(at(100 + spared));
            faulty.die_after(spared as i32).await;
            let rotation = history.rotate(&store, new).await;
            faulty.mend().await;
            let reopened = faulty.open().await;
            if rotation.is_ok() {
                history.note(new);
                history.check(&reopened).await;
                break;
            }
            cut_off += 1;
            history.check(&reopened).await;
        }
        let new = tokens(at(200));
        assert_eq!(history.rotate(&store, new).await.unwrap(), Rotation::Done, "it goes on");
        history.note(new);
        history.check(&store).await;
    }
    assert_eq!(cut_off, 2 + 3 + 3, "after every command but the last");
}

#[tokio::test]
async fn an_end_that_is_cut_off_has_happened_or_has_not() {
    let faulty = Faulty::start().await;
    let store = faulty.open().await;
    for spared in 0..2 {
        let session = session(user(), at(0));
        store.create_session(session.clone()).await.unwrap();
        faulty.die_after(spared).await;
        store.end_sessions(vec![session.session_id], at(5)).await.unwrap_err();
        faulty.mend().await;
        let has_ended = spared == 1;
        assert_eq!(store.was_ended(session.tokens.refresh).await.unwrap(), has_ended);
        assert_eq!(store.session_by_access(session.tokens.access).await.unwrap().is_none(), has_ended);
        let listed = async || {
            let all = store.revocations_since(at(0)).await.unwrap();
            all.iter().filter(|one| one.session_id == session.session_id).count()
        };
        assert_eq!(listed().await, usize::from(has_ended));
        let again = store.end_sessions(vec![session.session_id], at(6)).await.unwrap();
        assert_eq!(again.is_empty(), has_ended, "only what existed is answered");
        assert_eq!(listed().await, 1);
    }
}

#[tokio::test]
async fn a_removal_that_is_cut_off_is_brought_to_its_end_by_the_next() {
    let faulty = Faulty::start().await;
    let (store, beside) = (faulty.open().await, faulty.beside().await);
    let mut cut_off = 0;
    for spared in 0.. {
        History::begin(&store, 4).await;
        let later = at(0).plus(DAY * 40);
        faulty.die_after(spared).await;
        let removal = store.remove_expired(later).await;
        faulty.mend().await;
        if removal.is_ok() {
            break;
        }
        cut_off += 1;
        store.remove_expired(later).await.unwrap();
        assert_eq!((count(&beside, "sessions").await, count(&beside, "replaced_tokens").await), (0, 0));
    }
    assert!(cut_off >= 5, "{cut_off}");
}

#[tokio::test]
async fn a_rotation_that_meets_the_removal_of_its_session_leaves_nothing_behind() {
    let faulty = Faulty::start().await;
    let (store, other, beside) = (faulty.open().await, faulty.open().await, faulty.beside().await);
    let history = History::begin(&store, 2).await;
    // The rotation is about to write down the token before the last one.
    let is_there = faulty.hold_an_update_up().await;
    let removal = async {
        is_there.await;
        other.remove_expired(at(0).plus(DAY * 40)).await.unwrap();
        assert_eq!((count(&beside, "sessions").await, count(&beside, "replaced_tokens").await), (0, 0));
    };
    let (rotation, ()) = tokio::join!(history.rotate(&store, tokens(at(100))), removal);
    assert_eq!(rotation.unwrap(), Rotation::Lost);
    assert_eq!(count(&beside, "replaced_tokens").await, 0);
}

#[tokio::test]
async fn a_session_that_is_stored_again_after_its_end_does_not_come_back() {
    let test = TestDatabase::new().await;
    let store = test.open().await;
    let session = session(user(), at(0));
    store.create_session(session.clone()).await.unwrap();
    store.end_sessions(vec![session.session_id], at(5)).await.unwrap();
    // As a late attempt of the first call would.
    store.create_session(session.clone()).await.unwrap();
    assert_eq!(store.session_by_access(session.tokens.access).await.unwrap(), None);
    assert_eq!(store.sessions_of(session.user_id).await.unwrap(), []);
    assert!(store.was_ended(session.tokens.access).await.unwrap());
}

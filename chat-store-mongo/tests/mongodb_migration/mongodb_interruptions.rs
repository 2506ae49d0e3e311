//! However often a migration is broken off, and whatever else goes on meanwhile, the result is that of one run.

use std::mem::replace;

use chat_store_mongo::migrate_php::{
    Finding, MigrationError, Observer, Outcome, Phase, Progress, State, Stop,
};
use chat_store_mongo::{MongoStore, OpenError};
use chat_testkit::php_database::PhpDatabase;
use mongodb::bson::{Document, doc};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::php_chat::{Listener, PhpChat};

/// What is compared.
const COLLECTIONS: [&str; 6] =
    ["users", "chat_rooms", "private_chats", "messages", "members", "migration_findings"];

/// Small enough to be migrated many times, large enough to have most flaws.
const SMALL: PhpDatabase = PhpDatabase { users: 60, rooms: 12, messages: 900, seed: 5 };

async fn small() -> PhpChat {
    let php = PhpChat::new().await;
    SMALL.write(&php.database).await.unwrap();
    php
}

/// Hashes of everything that a run makes, but for what is random.
async fn result(php: &PhpChat) -> Vec<(String, String)> {
    let hashes = php.hashes().await;
    let hash = |name: &str| (name.to_owned(), hashes.get_str(name).unwrap_or("nothing").to_owned());
    COLLECTIONS.into_iter().map(hash).collect()
}

/// Runs in small pages until it is done; every run is stopped after `calls` calls. Answers how many it took.
async fn run_in_pieces(php: &PhpChat, calls: usize) -> (usize, Vec<Phase>) {
    let mut stopped_in = Vec::new();
    for run in 1.. {
        assert!(run < 1_000, "it does not get on: {stopped_in:?}");
        let mut listener = Listener { checks_in_peace: true, ..Listener::stopping_after(calls) };
        match php.migration().await.page_rows(20).run(&mut listener).await {
            Ok(outcome) => {
                assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
                return (run, stopped_in);
            }
            Err(MigrationError::Stopped) => stopped_in.extend(listener.phases().last()),
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("the loop has no end")
}

#[tokio::test]
async fn a_run_that_is_stopped_anywhere_and_resumed_equals_a_whole_one() {
    let whole = small().await;
    let (runs, _) = run_in_pieces(&whole, usize::MAX).await;
    assert_eq!(runs, 1);
    let expected = result(&whole).await;
    let mut phases = Vec::new();
    // A checkpoint is written every eight pages, so these stop it before, at and after one.
    for calls in [10, 12, 23] {
        let php = small().await;
        let (runs, stopped_in) = run_in_pieces(&php, calls).await;
        assert!(runs > 4, "{calls}: {runs}");
        assert_eq!(result(&php).await, expected, "stopped after every {calls} calls in {stopped_in:?}");
        phases.extend(stopped_in);
    }
    phases.sort_unstable();
    phases.dedup();
    for phase in [Phase::Messages, Phase::Numbers] {
        assert!(phases.contains(&phase), "{phase:?} was never stopped: {phases:?}");
    }
}

#[tokio::test]
async fn every_phase_can_be_stopped_at_its_beginning_and_at_its_end() {
    let mut listener = Listener::default();
    let whole = small().await;
    whole.migration().await.page_rows(100).run(&mut listener).await.unwrap();
    let expected = result(&whole).await;
    let calls: Vec<usize> = (1..=listener.progress.len())
        .filter(|call| {
            let phase = |at: usize| listener.progress.get(at).map(|progress| progress.phase);
            phase(call - 1) != phase(*call) || *call < 2 || phase(call - 1) != phase(call - 2)
        })
        .collect();
    assert!(calls.len() >= 2 * 8, "{calls:?}");
    for call in calls {
        let php = small().await;
        let first = php.migration().await.page_rows(100).run(&mut Listener::stopping_after(call)).await;
        assert!(matches!(first, Err(MigrationError::Stopped)), "{first:?}");
        let phase = listener.progress[call - 1].phase;
        assert!(matches!(php.migration().await.state().await.unwrap(), State::Unfinished(_)));
        php.migration().await.page_rows(100).run(&mut Listener::default()).await.unwrap();
        assert_eq!(result(&php).await, expected, "stopped in {phase:?}, at call {call}");
    }
}

#[tokio::test]
async fn a_stopped_run_leaves_a_database_that_no_server_opens() {
    let php = small().await;
    let open = async || MongoStore::open(php.config()).await.unwrap_err();
    assert!(matches!(open().await, OpenError::NotMigrated { .. }));
    let stopped = php.migration().await.run(&mut Listener::stopping_after(5)).await;
    assert!(matches!(stopped, Err(MigrationError::Stopped)));
    let error = open().await;
    assert!(matches!(error, OpenError::MigrationUnfinished { .. }), "{error}");
    assert!(error.to_string().contains("chat-server migrate"), "{error}");
}

/// Runs a closure at every progress that a run tells: something may happen in the middle of it.
struct Meanwhile<F>(F);

impl<F: FnMut(Progress) + Send> Observer for Meanwhile<F> {
    fn progress(&mut self, progress: Progress) -> Result<(), Stop> {
        (self.0)(progress);
        Ok(())
    }

    fn found(&mut self, _: &Finding) -> Result<(), Stop> {
        Ok(())
    }
}

/// Waits where nothing can be awaited; of a runtime of several threads only.
fn wait<T>(future: impl Future<Output = T>) -> T {
    block_in_place(|| Handle::current().block_on(future))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_at_the_same_time_ends_the_first() {
    let (php, whole) = (small().await, small().await);
    run_in_pieces(&whole, usize::MAX).await;
    let mut calls = 0;
    let mut observer = Meanwhile(|_| {
        calls += 1;
        if calls == 20 {
            let mut listener = Listener::stopping_after(30);
            let rival = wait(async { php.migration().await.page_rows(20).run(&mut listener).await });
            assert!(matches!(rival, Err(MigrationError::Stopped)), "{rival:?}");
        }
    });
    let first = php.migration().await.page_rows(20).run(&mut observer).await;
    assert!(matches!(first, Err(MigrationError::Superseded)), "{first:?}");
    run_in_pieces(&php, usize::MAX).await;
    assert_eq!(result(&php).await, result(&whole).await);
}

#[tokio::test]
async fn a_php_chat_that_still_writes_is_found_out_and_the_next_run_takes_its_rows_over() {
    for (phase, collection) in [
        (Phase::Numbers, "messages"),
        (Phase::Members, "messages"),
        (Phase::Check, "messages"),
        (Phase::Members, "chat_rooms"),
        (Phase::Check, "users"),
        (Phase::Members, "private_chats"),
    ] {
        let mut listener = Listener::default();
        let probe = small().await;
        probe.migration().await.page_rows(100).run(&mut listener).await.unwrap();
        let call = listener.progress.iter().position(|progress| progress.phase == phase).unwrap() + 1;

        let (php, whole) = (small().await, small().await);
        let stopped = php.migration().await.page_rows(100).run(&mut Listener::stopping_after(call)).await;
        assert!(matches!(stopped, Err(MigrationError::Stopped)));
        let [ann, ben] = [0, 1].map(|at| (at, probe.database.collection::<Document>("users")));
        let ann = ann.1.find_one(doc! { "username": "user0" }).await.unwrap().unwrap();
        let ben = ben.1.find_one(doc! { "username": "user1" }).await.unwrap().unwrap();
        let [ann, ben] = [ann, ben].map(|row| row.get_object_id("_id").unwrap());
        let late = match collection {
            "messages" => {
                doc! { "sender_id": ann, "receiver_id": ben, "content": "late", "timestamp": PhpChat::at(0), "type": "text" }
            }
            "chat_rooms" => {
                doc! { "name": "Late", "creator_id": ann, "participants": [ann, ben], "created_at": PhpChat::at(0) }
            }
            "private_chats" => doc! { "user1_id": ann, "user2_id": ben, "created_at": PhpChat::at(0) },
            _ => {
                doc! { "username": "late", "password": "$2y$10$x", "email": "late@example.org", "created_at": PhpChat::at(0) }
            }
        };
        let mut row = doc! { "_id": PhpChat::id(500_000_000) };
        row.extend(late);
        php.insert(collection, row.clone()).await;
        whole.insert(collection, row).await;

        let disturbed = php.migration().await.page_rows(100).run(&mut Listener::default()).await;
        match disturbed {
            // A row that is there before its phase looks at it is migrated with the others.
            Ok(_) => {}
            Err(MigrationError::Disturbed(found)) => {
                assert_eq!(found, collection);
                run_in_pieces(&php, usize::MAX).await;
            }
            Err(error) => panic!("{phase:?} {collection}: {error}"),
        }
        run_in_pieces_or_done(&whole).await;
        assert_eq!(result(&php).await, result(&whole).await, "{collection} in {phase:?}");
        php.test.open().await;
    }
}

async fn run_in_pieces_or_done(php: &PhpChat) {
    php.migration().await.page_rows(100).run(&mut Listener::default()).await.unwrap();
}

#[tokio::test]
async fn a_php_chat_that_goes_on_writing_does_not_end_the_work_for_ever() {
    for collection in ["messages", "users"] {
        let (php, whole) = (small().await, small().await);
        let mut listener = Listener::default();
        whole.migration().await.page_rows(100).run(&mut listener).await.unwrap();
        let phase = |progress: &Progress| progress.phase == Phase::Members;
        let call = listener.progress.iter().position(phase).unwrap() + 1;
        let stopped = php.migration().await.page_rows(100).run(&mut Listener::stopping_after(call)).await;
        assert!(matches!(stopped, Err(MigrationError::Stopped)));
        for number in 1..4 {
            // Only the first row of several without our fields gets into a unique index.
            let row = doc! { "_id": PhpChat::id(500_000_000 + number), "username": format!("late {number}") };
            php.insert(collection, row).await;
        }
        let disturbed = php.migration().await.page_rows(100).run(&mut Listener::default()).await;
        let Err(MigrationError::Disturbed(found)) = disturbed else { panic!("{collection}: {disturbed:?}") };
        assert_eq!(found, collection);
        run_in_pieces(&php, usize::MAX).await;
        php.test.open().await;
    }
}

#[tokio::test]
async fn nobody_has_unread_messages_after_members_were_written_twice() {
    let many = async || {
        let php = PhpChat::new().await;
        let users = php.users::<50>().await;
        let pairs = (0..50).flat_map(|one| (0..one).map(move |other| (users[one], users[other])));
        let (chats, messages): (Vec<Document>, Vec<Document>) = (100..)
            .zip(pairs)
            .map(|(number, (one, other))| {
                let (id, at) = (PhpChat::id(number), PhpChat::at(i64::from(number)));
                let chat = doc! { "_id": id, "user1_id": one, "user2_id": other, "created_at": at };
                let message = doc! {
                    "_id": PhpChat::id(10_000 + number), "chat_id": id, "sender_id": one, "content": "hi", "type": "text",
                    "timestamp": at,
                };
                (chat, message)
            })
            .unzip();
        php.database.collection("private_chats").insert_many(chats).await.unwrap();
        php.database.collection("messages").insert_many(messages).await.unwrap();
        php
    };
    let (whole, php) = (many().await, many().await);
    let mut listener = Listener::default();
    whole.migration().await.run(&mut listener).await.unwrap();
    let phase = |progress: &Progress| progress.phase == Phase::Members;
    let call = listener.progress.iter().position(phase).unwrap() + 1;
    // Within a page of this size commands are sent before it is written down that the page is done.
    let stopped = php.migration().await.run(&mut Listener::stopping_after(call)).await;
    assert!(matches!(stopped, Err(MigrationError::Stopped)));
    php.migration().await.run(&mut Listener::default()).await.unwrap();
    assert_eq!(result(&php).await, result(&whole).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_stood_still_writes_over_nothing_that_came_after_it() {
    let php = small().await;
    let mut stood = false;
    // In the middle of writing members, until another run has ended and members have left.
    let mut observer = Meanwhile(|progress: Progress| {
        if progress.phase == Phase::Members && !replace(&mut stood, true) {
            wait(async {
                run_in_pieces(&php, usize::MAX).await;
                let members = php.database.collection::<Document>("members");
                members.update_many(doc! {}, doc! { "$set": { "state": "left" } }).await.unwrap();
            });
        }
    });
    let superseded = php.migration().await.page_rows(5).run(&mut observer).await;
    assert!(matches!(superseded, Err(MigrationError::Superseded)), "{superseded:?}");
    assert!(stood);
    let states: Vec<Document> = php.rows("members").await;
    assert!(states.iter().all(|row| row.get_str("state").ok() == Some("left")), "{states:?}");
}

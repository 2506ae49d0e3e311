//! Lists that are longer than one reply, and removals that take more than one command.

use chat_core::port::{AccountStore, Session};
use chat_core::time::Timestamp;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::rows::{DAY, at, count, object_id, row, session, stored, tokens, user};
use crate::support::TestDatabase;

/// More than two pages.
const MANY: usize = 2_050;

/// Stores `count` sessions beside the store, all like the one that it has stored itself.
async fn multiply(
    database: &mongodb::Database,
    like: &Session,
    count: usize,
    change: impl Fn(usize, &mut Document),
) {
    let first = row(database, "sessions", object_id(like.session_id.as_bytes())).await;
    let rows = (0..count).map(|number| {
        let other = session(like.user_id, like.created_at);
        let mut row = first.clone();
        row.insert("_id", object_id(other.session_id.as_bytes()));
        row.insert("access", stored(other.tokens.access));
        row.insert("refresh", stored(other.tokens.refresh));
        change(number, &mut row);
        row
    });
    database.collection("sessions").insert_many(rows).await.unwrap();
}

fn date(time: Timestamp) -> Bson {
    DateTime::from_millis(time.unix_ms()).into()
}

#[tokio::test]
async fn all_sessions_of_a_user_are_listed_and_ended() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let first = session(user(), at(0));
    store.create_session(first.clone()).await.unwrap();
    multiply(&beside, &first, MANY - 1, |number, row| {
        row.insert("last_used_at", date(at(number as u64 * 7_919 % 10_007)));
    })
    .await;
    let sessions = store.sessions_of(first.user_id).await.unwrap();
    assert_eq!(sessions.len(), MANY);
    assert!(sessions.is_sorted_by_key(|session| session.last_used_at));
    let ids: Vec<_> = sessions.iter().map(|session| session.session_id).collect();
    assert_eq!(store.end_sessions(ids, at(20_000)).await.unwrap().len(), MANY);
    assert_eq!(store.sessions_of(first.user_id).await.unwrap(), []);
    assert_eq!(store.revocations_since(at(20_000)).await.unwrap().len(), MANY, "all at one time");
}

#[tokio::test]
async fn all_revocations_are_listed_in_order() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let first = session(user(), at(0));
    store.create_session(first.clone()).await.unwrap();
    store.end_sessions(vec![first.session_id], at(0)).await.unwrap();
    // Many at one time in the middle, so that a page ends among them.
    multiply(&beside, &first, MANY, |number, row| {
        let ended_at = if number % 3 == 0 { at(500) } else { at(number as u64) };
        row.insert("ended_at", date(ended_at));
    })
    .await;
    let mut listed = store.revocations_since(at(0)).await.unwrap();
    assert!(listed.is_sorted_by_key(|one| one.ended_at));
    listed.sort_by_key(|one| one.session_id);
    listed.dedup_by_key(|one| one.session_id);
    assert_eq!(listed.len(), MANY + 1, "each once");
}

#[tokio::test]
async fn everything_that_is_over_is_removed_and_nothing_else() {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    let over = session(user(), at(0));
    let living = session(user(), at(0).plus(DAY * 20));
    for session in [&over, &living] {
        store.create_session(session.clone()).await.unwrap();
        let mut expected = session.tokens.refresh;
        for number in 1..=4 {
            let new = tokens(session.created_at.plus(DAY / 24 * number));
            store.rotate_session(session.session_id, expected, new).await.unwrap();
            expected = new.refresh;
        }
    }
    multiply(&beside, &over, 250, |_, _| {}).await;
    let replaced = (0..MANY).map(|_| {
        let token = session(over.user_id, at(0)).tokens.refresh;
        doc! { "_id": stored(token), "session_id": object_id(over.session_id.as_bytes()), "replaced_at": date(at(1)) }
    });
    beside.collection("replaced_tokens").insert_many(replaced).await.unwrap();
    // A row that nobody can read any more does not stop the others, nor does it stay.
    let damage = doc! { "$unset": { "live": "", "user_id": "" } };
    let filter = doc! { "_id": object_id(over.session_id.as_bytes()) };
    beside.collection::<Document>("sessions").update_one(filter, damage).await.unwrap();

    store.remove_expired(at(0).plus(DAY * 25)).await.unwrap();
    assert_eq!(count(&beside, "sessions").await, 1);
    assert_eq!(count(&beside, "replaced_tokens").await, 3, "those of the living session");
    assert!(store.session_by_refresh(living.tokens.refresh).await.unwrap().is_some());
    store.remove_expired(at(0).plus(DAY * 100)).await.unwrap();
    assert_eq!((count(&beside, "sessions").await, count(&beside, "replaced_tokens").await), (0, 0));
}

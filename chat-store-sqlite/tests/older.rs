//! Files of older formats are brought to the present one, and what is in them is found as before.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use chat_core::auth::username::lookup_keys;
use chat_core::domain::{ConversationKind, EntryBody, Event, RoomName, case_folded};
use chat_core::port::{AccountStore, RoomStore, StoredAccount};
use chat_store_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use support::{Place, room, user};

const FIRST: &str = include_str!("../migrations/0001_initial.sql");
const FOLD: &str = include_str!("../migrations/0002_names_fold_fully.sql");

/// A file as the first format had it.
fn first_format(place: &Place) -> Connection {
    let connection = Connection::open(place.database()).unwrap();
    connection.execute_batch(FIRST).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    connection
}

fn insert_account(connection: &Connection, number: u8, (username, folded): (&str, &str)) {
    let sql =
        "INSERT INTO accounts (user_id, username, name_folded, name_skeleton, display_name, password_hash,
                 disabled, created_at) VALUES (?1, ?2, ?3, ?3, ?2, '', FALSE, 1)";
    connection.execute(sql, params![[number; 12], username, folded]).unwrap();
}

async fn accounts(store: &SqliteStore) -> Vec<StoredAccount> {
    store.all_accounts(None, 1_000).await.unwrap()
}

#[tokio::test]
async fn names_that_folded_less_get_the_keys_of_today_unless_another_account_has_them() {
    let place = Place::new();
    let connection = first_format(&place);
    let rows = [
        ("νικος", "νικος", "νικοσ"),
        ("Straße", "straße", "straße"),
        ("strasse", "strasse", "strasse"),
        ("ΛΟΓΟΣ", "\u{1}ΛΟΓΟς", "\u{1}ΛΟΓΟς"),
        ("ßςßς", "ßςßς", "ssσssσ"),
        ("alice", "alice", "alice"),
    ];
    for (number, (username, folded, _)) in (1..).zip(rows) {
        insert_account(&connection, number, (username, folded));
    }
    drop(connection);
    let store = place.open();
    let found: Vec<String> = accounts(&store).await.into_iter().map(|one| one.username.folded).collect();
    assert_eq!(found, rows.map(|(.., folded)| folded));
}

#[tokio::test]
async fn every_letter_that_folds_otherwise_than_before_is_migrated() {
    let place = Place::new();
    let connection = first_format(&place);
    let (_, class) = FOLD.split_once("GLOB '*[").unwrap();
    let letters = class.split_once(']').unwrap().0;
    for (number, letter) in (1..).zip(letters.chars()) {
        let name = format!("{number}{letter}x{letter}");
        insert_account(&connection, number, (&name, &name));
    }
    drop(connection);
    for account in accounts(&place.open()).await {
        assert_eq!(account.username.folded, case_folded(&account.account.username));
        assert_ne!(account.username.folded, account.account.username);
    }
    // Of letters that the former rule left as they are, today's changes no others.
    let is_composed = |letter: &str| RoomName::new(letter).is_ok_and(|name| name.as_str() == letter);
    for letter in ('\0'..='\u{1FFFF}').map(String::from) {
        let was_left = letter.to_lowercase() == letter && is_composed(&letter);
        let is_allowed = !lookup_keys(&letter).unwrap().folded.starts_with('\u{1}');
        let is_changed = was_left && is_allowed && case_folded(&letter) != letter;
        assert!(!is_changed || letters.contains(&letter), "{letter:?}");
    }
}

#[tokio::test]
async fn names_with_separators_of_lines_are_still_read() {
    let place = Place::new();
    let store = place.open();
    let (owner, device) = (user(1), "a phone");
    let id = room(&store, owner).await;
    drop(store);
    let connection = Connection::open(place.database()).unwrap();
    insert_account(&connection, 1, ("two\u{2028}lines", "two lines"));
    connection.execute("UPDATE conversations SET name = ?1", ["a\u{2028}b"]).unwrap();
    let sql = "INSERT INTO sessions (session_id, user_id, device, created_at, last_used_at, ends_at, access,
                 access_expires_at, refresh, refresh_expires_at, issued_at)
               VALUES (?1, ?1, ?2, 1, 1, 1, ?3, 1, ?3, 1, 1)";
    connection.execute(sql, params![[1_u8; 12], format!("{device}\u{2029}"), [1_u8; 32]]).unwrap();
    let sql = "INSERT INTO entries (conversation, seq, id, author, sent_at, messages_so_far, kind, name)
               VALUES (1, 2, ?1, ?1, 1, 0, 24, ?2)";
    connection.execute(sql, params![[9_u8; 12], "c\u{2028}d"]).unwrap();
    drop(connection);

    let store = place.open();
    assert_eq!(accounts(&store).await[0].account.display_name.as_str(), "two lines");
    let session = store.sessions_of(owner).await.unwrap().remove(0);
    assert_eq!(session.device.unwrap().as_str(), device);
    let ConversationKind::Room { name, .. } = store.conversation(id).await.unwrap().unwrap().kind else {
        panic!("it is a room");
    };
    assert_eq!(name.as_str(), "a b");
    let entries = store.entries(id, support::ALL).await.unwrap().entries;
    let EntryBody::Event(Event::Updated { name: Some(name), .. }) = &entries[1].body else {
        panic!("{entries:?}");
    };
    assert_eq!(name.as_str(), "c d");
}

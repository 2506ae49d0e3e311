//! Files of older formats are brought to the present one, and what is in them is found as before.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use chat_core::auth::username::lookup_keys;
use chat_core::domain::{RoomName, case_folded};
use chat_core::port::{AccountStore, StoredAccount};
use chat_store_sqlite::SqliteStore;
use rusqlite::{Connection, params};
use support::Place;

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

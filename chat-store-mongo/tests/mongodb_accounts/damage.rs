//! Rows that somebody has damaged: errors say where, and never what stands there.

use chat_core::error::StoreError;
use chat_core::port::{AccountStore, SessionTokens};
use chat_store_mongo::MongoStore;
use mongodb::bson::{Bson, Document, doc};

use super::rows::{at, keys, new_account, object_id, session, stored, tokens};
use crate::support::{TestDatabase, damage};

async fn an_account() -> (TestDatabase, MongoStore, mongodb::Database) {
    let test = TestDatabase::new().await;
    let (store, beside) = (test.open().await, test.beside().await);
    (test, store, beside)
}

#[tokio::test]
async fn a_damaged_account_is_named_and_not_shown() {
    let (_test, store, beside) = an_account().await;
    let new = new_account("Ann");
    store.create_account(new.clone()).await.unwrap();
    let id = Bson::from(object_id(new.user_id.as_bytes()));
    let shown =
        ["display_name", "email", "password_hash", "disabled", "created_at", "last_login", "last_seen"];
    let one = async || store.account(new.user_id).await.map(drop);
    damage(&beside, ("users", id.clone()), &shown, one).await;
    let many = async || store.accounts(vec![new.user_id]).await.map(drop);
    damage(&beside, ("users", id.clone()), &["username"], many).await;
    let by_name = async || store.account_by_name(&keys("ann")).await.map(drop);
    damage(&beside, ("users", id.clone()), &["username"], by_name).await;
    let all = async || store.all_accounts(None, 10).await.map(drop);
    damage(&beside, ("users", id), &["username_folded", "username_skeleton"], all).await;
}

#[tokio::test]
async fn an_account_without_a_password_is_damaged() {
    let (_test, store, beside) = an_account().await;
    let new = new_account("Ann");
    store.create_account(new.clone()).await.unwrap();
    let id = object_id(new.user_id.as_bytes());
    let users = beside.collection::<Document>("users");
    users.update_one(doc! { "_id": id }, doc! { "$unset": { "password_hash": "" } }).await.unwrap();
    let error = store.account(new.user_id).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Corrupt(_)) && error.to_string().contains("password_hash"),
        "{error}"
    );
}

#[tokio::test]
async fn a_damaged_session_is_named_and_not_shown() {
    let (_test, store, beside) = an_account().await;
    let session = session(new_account("Ann").user_id, at(0));
    store.create_session(session.clone()).await.unwrap();
    let rotate = async |expected: SessionTokens| {
        let new = tokens(at(60));
        store.rotate_session(session.session_id, expected.refresh, new).await.unwrap();
        new
    };
    let second = rotate(session.tokens).await;
    let third = rotate(second).await;

    let id = Bson::from(object_id(session.session_id.as_bytes()));
    let by_access = async || store.session_by_access(third.access).await.map(drop);
    let times =
        ["created_at", "last_used_at", "ends_at", "access_expires_at", "refresh_expires_at", "issued_at"];
    damage(&beside, ("sessions", id.clone()), &times, by_access).await;
    damage(&beside, ("sessions", id.clone()), &["user_id", "device", "refresh", "previous"], by_access).await;
    let of_user = async || store.sessions_of(session.user_id).await.map(drop);
    damage(&beside, ("sessions", id), &["access"], of_user).await;

    let replaced = stored(session.tokens.refresh);
    let by_refresh = async || store.session_by_refresh(session.tokens.refresh).await.map(drop);
    damage(&beside, ("replaced_tokens", replaced), &["session_id", "replaced_at"], by_refresh).await;
}

#[tokio::test]
async fn a_damaged_revocation_is_named_and_not_shown() {
    let (_test, store, beside) = an_account().await;
    let session = session(new_account("Ann").user_id, at(0));
    store.create_session(session.clone()).await.unwrap();
    store.end_sessions(vec![session.session_id], at(5)).await.unwrap();
    let id = Bson::from(object_id(session.session_id.as_bytes()));
    let since = async || store.revocations_since(at(0)).await.map(drop);
    damage(&beside, ("sessions", id.clone()), &["user_id"], since).await;
    let was_ended = async || store.was_ended(session.tokens.access).await.map(drop);
    damage(&beside, ("sessions", id), &["ended_at"], was_ended).await;
}

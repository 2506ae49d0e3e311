//! The case of what a restart keeps. A store that says it keeps nothing passes it.

use chat_core::port::{AccountCreation, PasswordWrite, SessionMatch};

use super::Store;
use super::rows::{START, at, keys, new_account, register, sign_in, tokens};
use super::sessions::{by_access, by_refresh};

/// `create_account`, `create_session`, `rotate_session`, `end_sessions`: what was acknowledged is there after a restart.
pub(super) async fn a_restart_keeps_accounts_and_sessions(store: Store) {
    let alice = register(&*store, "alice").await;
    let changed = PasswordWrite::Changed;
    let set = store.set_password(alice.user_id, &alice.password_hash, "$argon2id$new", changed).await;
    assert!(set.expect("an answer"));
    store.record_seen(vec![(alice.user_id, at(7))]).await.expect("an answer");
    let account = store.account(alice.user_id).await.expect("an answer");
    let session = sign_in(&*store, alice.user_id, START).await;
    let rotated = tokens(at(60));
    store.rotate_session(session.session_id, session.tokens.refresh, rotated).await.expect("an answer");
    let current = by_access(&*store, rotated.access).await.expect("the session");
    let ended = sign_in(&*store, alice.user_id, START).await;
    let revoked = store.end_sessions(vec![ended.session_id], at(90)).await.expect("an answer");

    let Some(store) = store.restart().await else { return };
    assert!(store.account(alice.user_id).await.expect("an answer") == account);
    let taken = store.create_account(new_account(keys("ALICE"))).await.expect("an answer");
    assert_eq!(taken, AccountCreation::NameTaken);
    assert_eq!(by_access(&*store, rotated.access).await.as_ref(), Some(&current));
    let replaced = SessionMatch::Replaced { session: current, replaced_at: rotated.issued_at };
    assert_eq!(by_refresh(&*store, session.tokens.refresh).await, Some(replaced));
    assert_eq!(by_access(&*store, ended.tokens.access).await, None);
    assert_eq!(store.revocations_since(START).await.expect("a list"), revoked);
    assert!(store.was_ended(ended.tokens.access).await.expect("an answer"));
}

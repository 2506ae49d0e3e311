//! Cases of the end of sessions: by revocation and by time.

use std::time::Duration;

use chat_core::id::SessionId;
use chat_core::port::{AccountStore, Revocation, Session, SessionMatch};
use chat_core::time::Timestamp;
use tokio::task::JoinSet;

use super::Store;
use super::rows::{DAY, START, at, session, sign_in, tokens};
use super::sessions::{by_access, by_refresh};
use crate::random;

async fn end(store: &dyn AccountStore, sessions: &[&Session], at: Timestamp) -> Vec<Revocation> {
    let ids = sessions.iter().map(|session| session.session_id).collect();
    let mut ended = store.end_sessions(ids, at).await.expect("an answer");
    ended.sort_unstable_by_key(|one| one.session_id);
    ended
}

async fn revocations(store: &dyn AccountStore, since: Timestamp) -> Vec<Revocation> {
    store.revocations_since(since).await.expect("a list")
}

fn revocation(session: &Session, ended_at: Timestamp) -> Revocation {
    Revocation { session_id: session.session_id, user_id: session.user_id, ended_at }
}

/// `end_sessions`: an ended session is found by nothing; others stay.
pub(super) async fn an_ended_session_is_found_no_more(store: Store) {
    let user = random::user();
    let ended = sign_in(&*store, user, START).await;
    let kept = sign_in(&*store, user, START).await;
    end(&*store, &[&ended], at(5)).await;
    assert_eq!(by_access(&*store, ended.tokens.access).await, None);
    assert_eq!(by_refresh(&*store, ended.tokens.refresh).await, None);
    assert_eq!(store.sessions_of(user).await.expect("a list"), std::slice::from_ref(&kept));
    assert_eq!(by_refresh(&*store, kept.tokens.refresh).await, Some(SessionMatch::Current(kept)));
}

/// `end_sessions`, `revocations_since`: each session that existed leaves a revocation, which is answered.
pub(super) async fn ended_sessions_leave_revocations(store: Store) {
    let one = sign_in(&*store, random::user(), START).await;
    let other = sign_in(&*store, random::user(), START).await;
    let unknown = session(random::user(), START);
    let mut expected = vec![revocation(&one, at(5)), revocation(&other, at(5))];
    expected.sort_unstable_by_key(|one| one.session_id);
    assert_eq!(end(&*store, &[&one, &unknown, &other], at(5)).await, expected);
    let mut listed = revocations(&*store, START).await;
    listed.sort_unstable_by_key(|one| one.session_id);
    assert_eq!(listed, expected);
    assert_eq!(end(&*store, &[], at(6)).await, []);
}

/// `revocations_since`: those from a time on, this time included, the oldest first.
pub(super) async fn revocations_are_listed_from_a_time_on(store: Store) {
    let mut expected = Vec::new();
    for seconds in [10, 20, 30] {
        let session = sign_in(&*store, random::user(), START).await;
        expected.extend(end(&*store, &[&session], at(seconds)).await);
    }
    assert_eq!(revocations(&*store, at(0)).await, expected);
    assert_eq!(revocations(&*store, at(20)).await, expected[1..]);
    assert_eq!(revocations(&*store, at(21)).await, expected[2..]);
    assert_eq!(revocations(&*store, at(31)).await, []);
    let late = sign_in(&*store, random::user(), START).await;
    let backwards = end(&*store, &[&late], at(15)).await;
    assert_eq!(revocations(&*store, at(15)).await, [&backwards[..], &expected[1..]].concat());
}

/// `was_ended`: tells either token of an ended session from one that never was.
pub(super) async fn an_ended_token_is_told_from_an_unknown_one(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    let new = tokens(at(1));
    store.rotate_session(session.session_id, session.tokens.refresh, new).await.expect("an answer");
    let was_ended = async |token| store.was_ended(token).await.expect("an answer");
    assert!(!was_ended(new.access).await, "it is alive");
    end(&*store, &[&session], at(5)).await;
    assert!(was_ended(new.access).await, "the access token at that time");
    assert!(!was_ended(random::token()).await);
    assert!(was_ended(new.refresh).await, "the refresh token at that time");
}

/// `end_sessions`: answers those that existed: the second time nobody.
pub(super) async fn ending_twice_changes_nothing(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    let first = end(&*store, &[&session], at(5)).await;
    assert_eq!(end(&*store, &[&session], at(9)).await, []);
    assert_eq!(revocations(&*store, START).await, first);
}

/// `end_sessions`: of concurrent calls one ends the session.
pub(super) async fn a_race_to_end_a_session_has_one_winner(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let (store, ids): (_, Vec<SessionId>) = (store.port(), vec![session.session_id]);
        calls.spawn(async move { store.end_sessions(ids, at(number)).await.expect("an answer").len() });
    }
    assert_eq!(calls.join_all().await.iter().sum::<usize>(), 1);
    assert_eq!(revocations(&*store, START).await.len(), 1);
}

/// `remove_expired`: removes sessions whose refresh time or end is before now, and no others.
pub(super) async fn expired_sessions_are_removed(store: Store) {
    let user = random::user();
    let now = at(1_000);
    let millisecond = Duration::from_millis(1);
    let with_times = async |refresh_expires_at, ends_at| {
        let mut session = session(user, START);
        session.tokens.refresh_expires_at = refresh_expires_at;
        session.ends_at = ends_at;
        store.create_session(session.clone()).await.expect("a session");
        session.session_id
    };
    let later = now.plus(DAY);
    with_times(now.minus(millisecond), later).await;
    with_times(later, now.minus(millisecond)).await;
    let mut kept =
        [with_times(later, later).await, with_times(now, later).await, with_times(later, now).await];
    kept.sort_unstable();
    store.remove_expired(now).await.expect("an answer");
    let left = store.sessions_of(user).await.expect("a list");
    let mut left: Vec<_> = left.iter().map(|session| session.session_id).collect();
    left.sort_unstable();
    assert_eq!(left, kept);
}

/// `remove_expired`, `revocations_since`, `was_ended`: revocations are kept for two days and then removed.
pub(super) async fn revocations_are_kept_for_two_days(store: Store) {
    let old = sign_in(&*store, random::user(), START).await;
    let young = sign_in(&*store, random::user(), START).await;
    end(&*store, &[&old], START).await;
    let kept = end(&*store, &[&young], at(60)).await;
    store.remove_expired(START.plus(DAY * 2)).await.expect("an answer");
    assert_eq!(revocations(&*store, START).await.len(), 2, "two days are not over");
    assert!(store.was_ended(old.tokens.access).await.expect("an answer"));
    store.remove_expired(at(30).plus(DAY * 2)).await.expect("an answer");
    assert_eq!(revocations(&*store, START).await, kept);
    assert!(!store.was_ended(old.tokens.access).await.expect("an answer"));
    assert!(store.was_ended(young.tokens.access).await.expect("an answer"));
}

/// `remove_expired`: a session whose time is over was not ended by anybody.
pub(super) async fn expiry_leaves_no_revocation(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    store.remove_expired(START.plus(DAY * 100)).await.expect("an answer");
    assert_eq!(by_access(&*store, session.tokens.access).await, None);
    assert_eq!(revocations(&*store, START).await, []);
    assert!(!store.was_ended(session.tokens.access).await.expect("an answer"));
}

//! Cases of sessions and of the rotation of their tokens.

use chat_core::port::{AccountStore, Rotation, Session, SessionMatch, TokenHash};
use tokio::task::JoinSet;

use super::Store;
use super::rows::{DAY, HOUR, START, at, session, sign_in, tokens};
use crate::random;

pub(super) async fn by_access(store: &dyn AccountStore, access: TokenHash) -> Option<Session> {
    store.session_by_access(access).await.expect("an answer")
}

pub(super) async fn by_refresh(store: &dyn AccountStore, refresh: TokenHash) -> Option<SessionMatch> {
    store.session_by_refresh(refresh).await.expect("an answer")
}

/// `create_session`, `session_by_access`, `session_by_refresh`: a session reads back by either token.
pub(super) async fn a_session_is_found_by_its_tokens(store: Store) {
    let user = random::user();
    let mut nameless = session(user, START);
    nameless.device = None;
    let others = [session(user, at(1)), session(random::user(), at(2)), nameless];
    for session in &others {
        store.create_session(session.clone()).await.expect("a session");
    }
    for session in others {
        assert_eq!(by_access(&*store, session.tokens.access).await.as_ref(), Some(&session));
        let found = by_refresh(&*store, session.tokens.refresh).await;
        assert_eq!(found, Some(SessionMatch::Current(session)));
    }
}

/// `session_by_access`, `session_by_refresh`: the two kinds of token are never taken for each other.
pub(super) async fn an_unknown_token_finds_nothing(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    assert_eq!(by_access(&*store, random::token()).await, None);
    assert_eq!(by_refresh(&*store, random::token()).await, None);
    assert_eq!(by_access(&*store, session.tokens.refresh).await, None);
    assert_eq!(by_refresh(&*store, session.tokens.access).await, None);
    assert_eq!(by_access(&*store, TokenHash([0; 32])).await, None);
}

/// `session_by_access`: also finds sessions whose times are over.
pub(super) async fn expired_sessions_are_found(store: Store) {
    let mut old = session(random::user(), START.minus(DAY * 400));
    old.ends_at = old.created_at;
    store.create_session(old.clone()).await.expect("a session");
    assert_eq!(by_access(&*store, old.tokens.access).await.as_ref(), Some(&old));
    assert_eq!(by_refresh(&*store, old.tokens.refresh).await, Some(SessionMatch::Current(old)));
}

/// `create_session`: repeated, it makes no second session.
pub(super) async fn a_repeated_creation_is_harmless(store: Store) {
    let first = sign_in(&*store, random::user(), START).await;
    store.create_session(first.clone()).await.expect("a repeated call");
    assert_eq!(store.sessions_of(first.user_id).await.expect("a list"), [first]);
}

/// `rotate_session`: the new tokens hold, the old access token finds nothing, the session is used now.
pub(super) async fn a_rotation_replaces_the_tokens(store: Store) {
    let old = sign_in(&*store, random::user(), START).await;
    let new = tokens(START.plus(HOUR));
    let rotation = store.rotate_session(old.session_id, old.tokens.refresh, new).await.expect("an answer");
    assert_eq!(rotation, Rotation::Done);
    let expected = Session { tokens: new, last_used_at: new.issued_at, ..old.clone() };
    assert_eq!(by_access(&*store, new.access).await.as_ref(), Some(&expected));
    assert_eq!(by_refresh(&*store, new.refresh).await, Some(SessionMatch::Current(expected.clone())));
    assert_eq!(by_access(&*store, old.tokens.access).await, None);
    let replaced = SessionMatch::Replaced { session: expected, replaced_at: new.issued_at };
    assert_eq!(by_refresh(&*store, old.tokens.refresh).await, Some(replaced));
}

/// `session_by_refresh`: all replaced refresh tokens are kept as long as the session, each with its time.
pub(super) async fn every_replaced_refresh_token_is_found(store: Store) {
    let mut session = sign_in(&*store, random::user(), START).await;
    let bystander = sign_in(&*store, session.user_id, START).await;
    let mut replaced = Vec::new();
    for number in 1..=30 {
        let new = tokens(at(number * 60));
        let old = session.tokens.refresh;
        let rotation = store.rotate_session(session.session_id, old, new).await.expect("an answer");
        assert_eq!(rotation, Rotation::Done);
        replaced.push((old, new.issued_at));
        session = Session { tokens: new, last_used_at: new.issued_at, ..session };
    }
    for (old, replaced_at) in &replaced {
        let expected = SessionMatch::Replaced { session: session.clone(), replaced_at: *replaced_at };
        assert_eq!(by_refresh(&*store, *old).await, Some(expected));
    }
    assert_eq!(by_refresh(&*store, bystander.tokens.refresh).await, Some(SessionMatch::Current(bystander)));
    store.end_sessions(vec![session.session_id], at(10_000)).await.expect("an answer");
    for (old, _) in replaced {
        assert_eq!(by_refresh(&*store, old).await, None, "and not longer than the session");
    }
}

/// `rotate_session`: needs the hash of the current refresh token of this session; else it is lost and changes nothing.
pub(super) async fn a_rotation_needs_the_current_refresh_token(store: Store) {
    let one = sign_in(&*store, random::user(), START).await;
    let other = sign_in(&*store, one.user_id, START).await;
    let rotate = async |session: &Session, expected: TokenHash| {
        store.rotate_session(session.session_id, expected, tokens(at(60))).await.expect("an answer")
    };
    for expected in [random::token(), one.tokens.access, other.tokens.refresh] {
        assert_eq!(rotate(&one, expected).await, Rotation::Lost);
    }
    assert_eq!(by_access(&*store, one.tokens.access).await.as_ref(), Some(&one), "nothing has changed");
    assert_eq!(rotate(&one, one.tokens.refresh).await, Rotation::Done);
    assert_eq!(rotate(&one, one.tokens.refresh).await, Rotation::Lost, "replaced meanwhile");
    assert_eq!(
        rotate(&session(one.user_id, START), random::token()).await,
        Rotation::Lost,
        "no such session"
    );
    store.end_sessions(vec![other.session_id], at(1)).await.expect("an answer");
    assert_eq!(rotate(&other, other.tokens.refresh).await, Rotation::Lost, "the session is gone");
}

/// `rotate_session`: of concurrent calls with one expected hash exactly one answers `Done`.
pub(super) async fn a_race_for_one_rotation_has_one_winner(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    let mut calls = JoinSet::new();
    for number in 0..100 {
        let (store, id, expected) = (store.port(), session.session_id, session.tokens.refresh);
        let new = tokens(at(number));
        calls.spawn(async move { (store.rotate_session(id, expected, new).await.expect("an answer"), new) });
    }
    let outcomes = calls.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|(rotation, _)| *rotation == Rotation::Done).collect();
    assert_eq!(winners.len(), 1);
    for (rotation, new) in &outcomes {
        let found = by_access(&*store, new.access).await;
        assert_eq!(found.is_some(), *rotation == Rotation::Done, "only the winner's tokens hold");
    }
}

/// `touch_session`: sets the last use and nothing else; nothing happens for a session that is gone.
pub(super) async fn touching_moves_the_last_use(store: Store) {
    let session = sign_in(&*store, random::user(), START).await;
    store.touch_session(session.session_id, at(90)).await.expect("an answer");
    let touched = by_access(&*store, session.tokens.access).await;
    assert_eq!(touched, Some(Session { last_used_at: at(90), ..session.clone() }));
    store.touch_session(random::session(), at(90)).await.expect("absence is no error");
    store.end_sessions(vec![session.session_id], at(91)).await.expect("an answer");
    store.touch_session(session.session_id, at(92)).await.expect("absence is no error");
    assert_eq!(store.sessions_of(session.user_id).await.expect("a list"), []);
}

/// `sessions_of`: all sessions of a user, the longest unused first.
pub(super) async fn sessions_are_listed_the_longest_unused_first(store: Store) {
    let user = random::user();
    let mut sessions = Vec::new();
    for number in 0..4 {
        sessions.push(sign_in(&*store, user, at(number)).await);
        sign_in(&*store, random::user(), at(number)).await;
    }
    store.touch_session(sessions[0].session_id, at(100)).await.expect("an answer");
    let rotated = tokens(at(50));
    let id = sessions[1].session_id;
    store.rotate_session(id, sessions[1].tokens.refresh, rotated).await.expect("an answer");
    let listed = store.sessions_of(user).await.expect("a list");
    let listed: Vec<_> = listed.iter().map(|session| session.session_id).collect();
    assert_eq!(listed, [2, 3, 1, 0].map(|index: usize| sessions[index].session_id));
    assert_eq!(store.sessions_of(random::user()).await.expect("a list"), []);
}

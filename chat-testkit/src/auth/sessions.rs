//! Cases of sessions, where an `Auth` offers them.

use chat_core::error::AuthError;
use chat_core::port::{ClientContext, Grant};
use chat_core::time::Timestamp;
use secrecy::ExposeSecret;

use super::identity::{identity, is_valid};
use super::passwords::register_and_login;
use super::{Accounts, offered};
use crate::random;

/// `sessions`: those of the user, the latest used first.
pub(super) async fn sessions_are_listed_the_latest_used_first(mut auth: Accounts) {
    let first = auth.sign_in("alice").await;
    let second = auth.sign_in("alice").await;
    auth.sign_in("bob").await;
    let Some(listed) = offered(auth.sessions(first.user_id).await) else { return };
    let listed = listed.expect("a list");
    assert_eq!(listed.len(), 2, "hers, and all of them");
    assert!(listed.is_sorted_by_key(|session| std::cmp::Reverse(session.last_used_at)));
    for user in [first, second] {
        let session = identity(&auth, &user.token).await.expect("a valid token").session_id;
        assert!(listed.iter().any(|info| info.session_id == session));
    }
    assert_eq!(auth.sessions(random::user()).await.expect("a list"), [], "nobody has none");
}

/// `end_session`: its token is over, for good; others are not touched.
pub(super) async fn an_ended_session_is_over_and_others_are_not(mut auth: Accounts) {
    let lost = auth.sign_in("alice").await;
    let kept = auth.sign_in("alice").await;
    let session = identity(&auth, &lost.token).await.expect("a valid token").session_id;
    let Some(answer) = offered(auth.end_session(lost.user_id, session).await) else { return };
    answer.expect("the session ends");
    let error = identity(&auth, &lost.token).await.expect_err("it is over");
    assert!(matches!(error, AuthError::SessionEnded | AuthError::InvalidToken), "{error:?}");
    assert!(is_valid(&auth, &kept.token).await);
    let again = auth.end_session(lost.user_id, session).await;
    assert!(matches!(again, Err(AuthError::NotFound)), "{again:?}");
}

/// `end_session`: `NotFound` if the user has no such session, whoever else has it.
pub(super) async fn only_own_sessions_can_be_ended(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let bob = auth.sign_in("bob").await;
    let session = identity(&auth, &bob.token).await.expect("a valid token").session_id;
    for session in [session, random::session()] {
        let Some(answer) = offered(auth.end_session(alice.user_id, session).await) else { return };
        assert!(matches!(answer, Err(AuthError::NotFound)), "{answer:?}");
    }
    assert!(is_valid(&auth, &bob.token).await);
}

/// `ended_since`: always answers, and names no session that lives.
pub(super) async fn ended_sessions_are_told_if_anybody_asks(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let lost = auth.sign_in("alice").await;
    let living = identity(&auth, &alice.token).await.expect("a valid token").session_id;
    let session = identity(&auth, &lost.token).await.expect("a valid token").session_id;
    if let Some(answer) = offered(auth.end_session(lost.user_id, session).await) {
        answer.expect("the session ends");
    }
    let ended = auth.ended_since(Timestamp::from_unix_ms(0)).await.expect("an answer");
    assert!(ended.iter().all(|one| *one == (alice.user_id, session)), "{ended:?}");
    assert!(!ended.contains(&(alice.user_id, living)));
}

/// `refresh`: new tokens of the same session; the new access token is good.
pub(super) async fn a_refresh_keeps_the_session(auth: Accounts) {
    let Some(Grant { identity: before, refresh_token, .. }) = register_and_login(&auth, "alice").await else {
        return;
    };
    let client = ClientContext::default();
    let Some(renewed) = offered(auth.refresh(&refresh_token, &client).await) else { return };
    let renewed = renewed.expect("a refresh");
    assert_eq!((renewed.identity.user_id, renewed.identity.session_id), (before.user_id, before.session_id));
    let now = identity(&auth, renewed.token.expose_secret()).await.expect("a valid token");
    assert_eq!(now.session_id, before.session_id);
    auth.refresh(&renewed.refresh_token, &client).await.expect("another refresh");
}

/// `refresh`: whatever is no refresh token is invalid, an access token too.
pub(super) async fn an_unknown_refresh_token_is_invalid(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    for token in ["", "x", "\0", "日本語", "{\"$ne\":null}", &alice.token, &"x".repeat(70_000)] {
        let answer = auth.refresh(&token.to_owned().into(), &ClientContext::default()).await;
        let Some(answer) = offered(answer) else { return };
        assert!(matches!(answer, Err(AuthError::InvalidToken)), "{answer:?}");
    }
}

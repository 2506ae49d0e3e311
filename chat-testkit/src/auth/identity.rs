//! Cases of tokens.

use chat_core::error::AuthError;
use chat_core::port::{ClientContext, Identity};

use super::Accounts;

pub(super) async fn identity(auth: &Accounts, token: &str) -> Result<Identity, AuthError> {
    auth.authenticate(token, &ClientContext::default()).await
}

pub(super) async fn is_valid(auth: &Accounts, token: &str) -> bool {
    match identity(auth, token).await {
        Ok(_) => true,
        Err(AuthError::InvalidToken | AuthError::SessionEnded | AuthError::ExpiredToken) => false,
        Err(error) => panic!("a token is good or it is not: {error}"),
    }
}

/// `authenticate`: answers the user and the session, however often it is asked.
pub(super) async fn a_token_stands_for_its_user(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let bob = auth.sign_in("bob").await;
    let first = identity(&auth, &alice.token).await.expect("a valid token");
    assert_eq!((first.user_id, first.username.as_str()), (alice.user_id, "alice"));
    let address = Some([127, 0, 0, 1].into());
    let elsewhere = ClientContext { address, device: None };
    let second = auth.authenticate(&alice.token, &elsewhere).await.expect("a valid token");
    assert_eq!(second, first);
    let other = identity(&auth, &bob.token).await.expect("a valid token");
    assert_eq!(other.user_id, bob.user_id);
    assert_ne!(other.user_id, alice.user_id);
}

/// `authenticate`: two sessions of a user are told apart.
pub(super) async fn every_sign_in_is_a_session_of_its_own(mut auth: Accounts) {
    let first = auth.sign_in("alice").await;
    let second = auth.sign_in("alice").await;
    assert_eq!(first.user_id, second.user_id);
    let first = identity(&auth, &first.token).await.expect("a valid token");
    let second = identity(&auth, &second.token).await.expect("a valid token");
    assert_ne!(first.session_id, second.session_id);
}

/// `authenticate`: whatever is no token is invalid, and nothing else happens.
pub(super) async fn an_unknown_token_is_invalid(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let user_id = alice.user_id.to_string();
    let long = "x".repeat(70_000);
    let odd = [
        "",
        " ",
        "alice",
        user_id.as_str(),
        "null",
        "0",
        "-",
        "a.b.c",
        "..",
        "Bearer x",
        "\0",
        "\u{FEFF}",
        "日本語",
        "👩‍👩‍👧",
        "{\"$ne\":null}",
        "' OR 1=1 --",
        "../../etc/passwd",
        "%00",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        long.as_str(),
    ];
    for token in odd {
        let error = identity(&auth, token).await.expect_err("no token");
        let start: String = token.chars().take(20).collect();
        assert!(matches!(error, AuthError::InvalidToken), "{start:?} answers {error:?}");
    }
    assert!(is_valid(&auth, &alice.token).await, "the real one still is");
}

/// `authenticate`: a token with a character more, less or changed is another one.
pub(super) async fn a_changed_token_is_invalid(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let token = alice.token.as_str();
    let mut without_last = token.to_owned();
    without_last.pop();
    let changed: String =
        token.chars().enumerate().map(|(index, c)| if index == 0 { '!' } else { c }).collect();
    for other in [format!("{token}x"), format!("{token}\0"), format!("{token}{token}"), without_last, changed]
    {
        assert!(!is_valid(&auth, &other).await, "a token is compared as a whole");
    }
    assert!(is_valid(&auth, token).await);
}

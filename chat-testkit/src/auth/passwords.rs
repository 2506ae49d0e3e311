//! Cases of registration, login and passwords, where an `Auth` offers them.

use chat_core::domain::{DeviceName, DisplayName, Email};
use chat_core::error::AuthError;
use chat_core::id::UserId;
use chat_core::port::{ClientContext, Credentials, Grant, Registration};
use secrecy::ExposeSecret;

use super::identity::{identity, is_valid};
use super::{Accounts, offered};

/// A password that no policy should refuse.
const PASSWORD: &str = "violet-Harbour-9-lantern";
const OTHER_PASSWORD: &str = "copper-Meadow-4-whistle";

async fn register(auth: &Accounts, name: &str) -> Result<UserId, AuthError> {
    let registration = Registration {
        username: name.to_owned(),
        password: PASSWORD.into(),
        email: Email::new("someone@example.org").expect("an address"),
        display_name: Some(DisplayName::new("Somebody").expect("a display name")),
    };
    auth.register(registration, &ClientContext::default()).await
}

async fn login(auth: &Accounts, name: &str, password: &str) -> Result<Grant, AuthError> {
    let credentials = Credentials { username: name.to_owned(), password: password.into() };
    let device = Some(DeviceName::new("a phone").expect("a device name"));
    auth.login(credentials, &ClientContext { address: None, device }).await
}

/// A session of a new user; `None` if this `Auth` registers nobody.
pub(super) async fn register_and_login(auth: &Accounts, name: &str) -> Option<Grant> {
    offered(register(auth, name).await)?.expect("a registration");
    Some(offered(login(auth, name, PASSWORD).await)?.expect("a login"))
}

/// `register`, `login`: a new user exists, signs in, and is who the token stands for.
pub(super) async fn who_registers_can_sign_in(auth: Accounts) {
    let Some(user) = offered(register(&auth, "alice").await) else { return };
    let user = user.expect("a registration");
    assert_eq!(auth.find_user("alice").await.expect("an answer"), Some(user));
    let profiles = auth.profiles(vec![user]).await.expect("an answer");
    assert_eq!(profiles[0].display_name.as_str(), "Somebody");

    let Some(grant) = offered(login(&auth, "alice", PASSWORD).await) else { return };
    let grant = grant.expect("a login");
    assert_eq!((grant.identity.user_id, grant.identity.username.as_str()), (user, "alice"));
    let token = grant.token.expose_secret();
    let stands_for = identity(&auth, token).await.expect("a valid token");
    assert_eq!((stands_for.user_id, stands_for.session_id), (user, grant.identity.session_id));
    assert_ne!(token, grant.refresh_token.expose_secret());
    let another = login(&auth, "alice", PASSWORD).await.expect("another login");
    assert_ne!(another.identity.session_id, grant.identity.session_id, "always a new session");
    assert!(is_valid(&auth, token).await, "beside the first");
}

/// `register`: a name that somebody has is taken.
pub(super) async fn a_name_is_given_once(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let Some(answer) = offered(register(&auth, "alice").await) else { return };
    assert!(matches!(answer, Err(AuthError::UsernameTaken)), "{answer:?}");
    assert_eq!(auth.find_user("alice").await.expect("an answer"), Some(alice.user_id));
}

/// `login`: a wrong password, an unknown name and an impossible one are answered alike.
pub(super) async fn a_failed_login_does_not_tell_why(auth: Accounts) {
    if register_and_login(&auth, "alice").await.is_none() {
        return;
    }
    let long = "a".repeat(1_000);
    let attempts = [
        ("alice", OTHER_PASSWORD),
        ("alice", ""),
        ("nobody", PASSWORD),
        ("", PASSWORD),
        ("\0", "\0"),
        (&long, &long),
    ];
    for (name, password) in attempts {
        let error = login(&auth, name, password).await.expect_err("a failed login");
        assert!(matches!(error, AuthError::InvalidCredentials), "{error:?}");
    }
    login(&auth, "alice", PASSWORD).await.expect("the right password still works");
}

/// `change_password`: the new one works, the old one does not, all sessions but one end and are answered.
pub(super) async fn a_new_password_ends_other_sessions(auth: Accounts) {
    let Some(kept) = register_and_login(&auth, "alice").await else { return };
    let lost = login(&auth, "alice", PASSWORD).await.expect("a login");
    let (user, keep) = (kept.identity.user_id, kept.identity.session_id);
    let answer = auth.change_password(user, keep, PASSWORD.into(), OTHER_PASSWORD.into()).await;
    let Some(ended) = offered(answer) else { return };
    assert_eq!(ended.expect("a change"), [lost.identity.session_id]);
    assert!(is_valid(&auth, kept.token.expose_secret()).await);
    assert!(!is_valid(&auth, lost.token.expose_secret()).await);
    let old = login(&auth, "alice", PASSWORD).await;
    assert!(matches!(old, Err(AuthError::InvalidCredentials)), "{old:?}");
    login(&auth, "alice", OTHER_PASSWORD).await.expect("a login with the new password");
}

/// `change_password`: with a wrong password nothing changes.
pub(super) async fn a_password_is_changed_only_with_the_present_one(auth: Accounts) {
    let Some(kept) = register_and_login(&auth, "alice").await else { return };
    let other = login(&auth, "alice", PASSWORD).await.expect("a login");
    let (user, keep) = (kept.identity.user_id, kept.identity.session_id);
    let answer = auth.change_password(user, keep, "a wrong one".into(), OTHER_PASSWORD.into()).await;
    let Some(answer) = offered(answer) else { return };
    assert!(matches!(answer, Err(AuthError::InvalidCredentials)), "{answer:?}");
    assert!(is_valid(&auth, other.token.expose_secret()).await, "no session has ended");
    login(&auth, "alice", PASSWORD).await.expect("the password is what it was");
}

//! Cases of names and profiles.

use std::collections::BTreeMap;

use chat_core::domain::DisplayName;
use chat_core::id::UserId;
use chat_core::time::{Clock, SystemClock};

use super::identity::identity;
use super::{Accounts, offered};
use crate::random;

/// `find_user`: by the name that `authenticate` answers.
pub(super) async fn a_user_is_found_by_name(mut auth: Accounts) {
    for name in ["alice", "bob"] {
        let user = auth.sign_in(name).await;
        let identity = identity(&auth, &user.token).await.expect("a valid token");
        assert_eq!(auth.find_user(&identity.username).await.expect("an answer"), Some(user.user_id));
        assert_eq!(auth.find_user(name).await.expect("an answer"), Some(user.user_id));
    }
}

/// `find_user`: a name that nobody has, or can have, is no error.
pub(super) async fn an_unknown_name_finds_nobody(mut auth: Accounts) {
    auth.sign_in("alice").await;
    let long = "a".repeat(70_000);
    for name in ["bob", "", " ", "\0", "%", "a_ice", "al\u{202E}ice", "{\"$gt\":\"\"}", "' OR ''='", &long] {
        let found = auth.find_user(name).await.expect("absence is no error");
        assert_eq!(found, None, "{:?}", name.chars().take(20).collect::<String>());
    }
}

/// `profiles`: of up to 100 users, in any order, with the names that `authenticate` answers.
pub(super) async fn profiles_agree_with_names(mut auth: Accounts) {
    let mut names = BTreeMap::new();
    for name in ["alice", "bob", "carol"] {
        names.insert(auth.sign_in(name).await.user_id, name);
    }
    let strangers = (0..97).map(|_| random::user());
    let asked: Vec<UserId> = names.keys().copied().chain(strangers).collect();
    let profiles = auth.profiles(asked).await.expect("an answer");
    assert_eq!(profiles.len(), names.len(), "each once");
    for profile in profiles {
        assert_eq!(names.get(&profile.user_id), Some(&profile.username.as_str()));
        assert!(!profile.display_name.as_str().is_empty());
    }
}

/// `profiles`: unknown users are left out, and nobody asked for is nobody answered.
pub(super) async fn unknown_users_have_no_profile(mut auth: Accounts) {
    auth.sign_in("alice").await;
    assert_eq!(auth.profiles(vec![random::user()]).await.expect("an answer"), []);
    assert_eq!(auth.profiles(Vec::new()).await.expect("an answer"), []);
}

/// `set_display_name`: shows in the profile, and the unique name stays.
pub(super) async fn a_display_name_is_shown(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let name = DisplayName::new("Alice 李").expect("a display name");
    let Some(answer) = offered(auth.set_display_name(alice.user_id, name.clone()).await) else { return };
    answer.expect("the name is set");
    let profiles = auth.profiles(vec![alice.user_id]).await.expect("an answer");
    assert_eq!((&profiles[0].display_name, profiles[0].username.as_str()), (&name, "alice"));
}

/// `record_seen`: takes notes of known and unknown users.
pub(super) async fn notes_of_the_last_time_seen_are_taken(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let now = SystemClock.now();
    let seen = vec![(alice.user_id, now), (random::user(), now)];
    auth.record_seen(seen).await.expect("notes are taken");
    let profiles = auth.profiles(vec![alice.user_id]).await.expect("an answer");
    assert!(profiles[0].last_seen.is_none_or(|seen| seen == now), "kept or not, but not another time");
}

/// `record_used`: takes notes of known and unknown sessions, and no time goes backwards.
pub(super) async fn notes_of_sessions_in_use_are_taken(mut auth: Accounts) {
    let alice = auth.sign_in("alice").await;
    let now = SystemClock.now();
    let own = identity(&auth, &alice.token).await.expect("a valid token").session_id;
    let used = vec![own, random::session()];
    auth.record_used(used, now).await.expect("notes are taken");
    let Some(sessions) = offered(auth.sessions(alice.user_id).await) else { return };
    let sessions = sessions.expect("an answer");
    let session = sessions.iter().find(|session| session.session_id == own);
    assert!(session.is_some_and(|session| session.last_used_at >= session.created_at));
}

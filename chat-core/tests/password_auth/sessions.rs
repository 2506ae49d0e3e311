//! What tokens are good for, and when they no longer are.

use std::time::Duration;

use chat_core::auth::AuthSettings;
use chat_core::error::AuthError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{AccountStore, Auth, Grant};
use secrecy::{ExposeSecret, SecretString};

use crate::fixture::{DAY, Fixture, HOUR, PASSWORD, from, local, login, secret, settings};

async fn whoami(fixture: &Fixture, token: &SecretString) -> Result<SessionId, AuthError> {
    let identity = fixture.auth.authenticate(token.expose_secret(), &local()).await?;
    Ok(identity.session_id)
}

async fn refresh(fixture: &Fixture, token: &SecretString) -> Result<Grant, AuthError> {
    fixture.auth.refresh(token, &local()).await
}

async fn signed_in() -> (Fixture, UserId, Grant) {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let grant = fixture.login("alice").await;
    (fixture, user, grant)
}

#[tokio::test(start_paused = true)]
async fn sec_24_tokens_are_kept_as_hashes_only() {
    let (fixture, _, grant) = signed_in().await;
    let next = refresh(&fixture, &grant.refresh_token).await.unwrap();
    let kept = format!("{:?}", fixture.store);
    for token in [&grant.token, &grant.refresh_token, &next.token, &next.refresh_token] {
        assert!(!kept.contains(token.expose_secret()));
        assert!(!format!("{grant:?}{next:?}").contains(token.expose_secret()));
    }
    assert!(next.token.expose_secret().starts_with("ca_"));
    assert!(next.refresh_token.expose_secret().starts_with("cr_"));
}

#[tokio::test(start_paused = true)]
async fn sec_24_nothing_but_the_very_token_signs_in() {
    let (fixture, _, grant) = signed_in().await;
    let token = grant.token.expose_secret();
    let other_kind = grant.refresh_token.expose_secret();
    let cut = &token[..token.len() - 1];
    let forged = [
        "",
        "null",
        "ca_",
        "{\"$ne\":null}",
        "[]",
        "ca_*",
        cut,
        other_kind,
        &token.to_uppercase(),
        &format!(" {token}"),
        &format!("{token}A"),
        &token.replace("ca_", "cr_"),
        &format!("ca_{}", "A".repeat(43)),
        &"x".repeat(60_000),
    ]
    .map(SecretString::from);
    for token in &forged {
        assert!(matches!(whoami(&fixture, token).await, Err(AuthError::InvalidToken)));
        if token.expose_secret() != other_kind {
            assert!(matches!(refresh(&fixture, token).await, Err(AuthError::InvalidToken)));
        }
    }
    assert!(matches!(refresh(&fixture, &grant.token).await, Err(AuthError::InvalidToken)));
}

#[tokio::test(start_paused = true)]
async fn sec_25_an_access_token_is_good_for_an_hour() {
    let (fixture, _, grant) = signed_in().await;
    assert_eq!(grant.expires_in, HOUR);
    tokio::time::advance(HOUR - Duration::from_millis(1)).await;
    whoami(&fixture, &grant.token).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(whoami(&fixture, &grant.token).await, Err(AuthError::ExpiredToken)));
    let next = refresh(&fixture, &grant.refresh_token).await.unwrap();
    assert_eq!(whoami(&fixture, &next.token).await.unwrap(), grant.identity.session_id);
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_refresh_token_lives_seven_days_unused_and_a_session_thirty() {
    let (fixture, _, mut grant) = signed_in().await;
    for _ in 0..4 {
        tokio::time::advance(DAY * 7 - Duration::from_secs(1)).await;
        grant = refresh(&fixture, &grant.refresh_token).await.unwrap();
    }
    tokio::time::advance(DAY * 2 - Duration::from_secs(1)).await;
    let last = refresh(&fixture, &grant.refresh_token).await.unwrap();
    assert_eq!(last.expires_in, Duration::from_secs(5), "no token outlives its session");
    tokio::time::advance(Duration::from_secs(5)).await;
    assert!(matches!(whoami(&fixture, &last.token).await, Err(AuthError::ExpiredToken)));
    assert!(matches!(refresh(&fixture, &last.refresh_token).await, Err(AuthError::ExpiredToken)));

    let unused = fixture.login("alice").await;
    tokio::time::advance(DAY * 7).await;
    assert!(matches!(refresh(&fixture, &unused.refresh_token).await, Err(AuthError::ExpiredToken)));
}

#[tokio::test(start_paused = true)]
async fn sec_25_each_refresh_replaces_both_tokens() {
    let (fixture, _, mut grant) = signed_in().await;
    for _ in 0..10 {
        tokio::time::advance(HOUR / 2).await;
        let next = refresh(&fixture, &grant.refresh_token).await.unwrap();
        assert_ne!(next.token.expose_secret(), grant.token.expose_secret());
        assert_ne!(next.refresh_token.expose_secret(), grant.refresh_token.expose_secret());
        assert_eq!(next.identity.session_id, grant.identity.session_id);
        assert!(matches!(whoami(&fixture, &grant.token).await, Err(AuthError::InvalidToken)));
        grant = next;
    }
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_refresh_token_that_comes_back_late_ends_the_session() {
    for late in [Duration::from_millis(30_001), HOUR, DAY] {
        let (fixture, _, grant) = signed_in().await;
        let next = refresh(&fixture, &grant.refresh_token).await.unwrap();
        tokio::time::advance(late).await;
        assert!(matches!(refresh(&fixture, &grant.refresh_token).await, Err(AuthError::SessionEnded)));
        assert!(matches!(whoami(&fixture, &next.token).await, Err(AuthError::SessionEnded)));
        assert!(matches!(refresh(&fixture, &next.refresh_token).await, Err(AuthError::SessionEnded)));
        fixture.login("alice").await;
    }
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_lost_reply_or_another_tab_gets_tokens_and_nobody_loses_theirs() {
    let (fixture, _, grant) = signed_in().await;
    let tab = refresh(&fixture, &grant.refresh_token).await.unwrap();
    tokio::time::advance(Duration::from_secs(30)).await;
    let other_tab = refresh(&fixture, &grant.refresh_token).await.unwrap();
    for tokens in [&tab, &other_tab] {
        assert_eq!(whoami(&fixture, &tokens.token).await.unwrap(), grant.identity.session_id);
    }
    assert_eq!(other_tab.expires_in, HOUR - Duration::from_secs(30));
    tokio::time::advance(HOUR).await;
    let newest = refresh(&fixture, &tab.refresh_token).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let also_newest = refresh(&fixture, &other_tab.refresh_token).await.unwrap();
    for tokens in [&newest, &also_newest] {
        whoami(&fixture, &tokens.token).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_tab_that_is_two_refreshes_behind_gets_what_holds_now() {
    let (fixture, _, grant) = signed_in().await;
    let second = refresh(&fixture, &grant.refresh_token).await.unwrap();
    tokio::time::advance(Duration::from_secs(10)).await;
    let third = refresh(&fixture, &second.refresh_token).await.unwrap();
    let behind = refresh(&fixture, &grant.refresh_token).await.unwrap();
    for tokens in [&third, &behind] {
        whoami(&fixture, &tokens.token).await.unwrap();
    }
    tokio::time::advance(HOUR).await;
    refresh(&fixture, &behind.refresh_token).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_lost_reply_is_made_good_after_a_restart_too() {
    let (fixture, _, grant) = signed_in().await;
    refresh(&fixture, &grant.refresh_token).await.unwrap();
    let restarted = fixture.restarted(settings());
    tokio::time::advance(Duration::from_secs(10)).await;
    let again = restarted.refresh(&grant.refresh_token, &local()).await.unwrap();
    assert_eq!(whoami(&fixture, &again.token).await.unwrap(), grant.identity.session_id);
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_hundred_refreshes_at_once_all_get_tokens_that_work() {
    let (fixture, _, grant) = signed_in().await;
    for round in 0..3 {
        let attempts = (0..100).map(|_| refresh(&fixture, &grant.refresh_token));
        for result in futures::future::join_all(attempts).await {
            let tokens = result.unwrap();
            assert_eq!(whoami(&fixture, &tokens.token).await.unwrap(), grant.identity.session_id, "{round}");
        }
    }
    assert_eq!(fixture.auth.sessions(grant.identity.user_id).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sec_26_login_always_makes_a_new_session() {
    let (fixture, user, first) = signed_in().await;
    let second = fixture.login("alice").await;
    assert_ne!(first.identity.session_id, second.identity.session_id);
    assert_ne!(first.token.expose_secret(), second.token.expose_secret());
    whoami(&fixture, &first.token).await.unwrap();
    assert_eq!(fixture.auth.sessions(user).await.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn sec_30_users_list_and_end_their_own_sessions_only() {
    let (fixture, user, first) = signed_in().await;
    tokio::time::advance(HOUR / 2).await;
    let phone = login(&*fixture.auth, "alice", PASSWORD, &from("192.0.2.7")).await.unwrap();
    let stranger = fixture.register("mallory").await;
    let listed = fixture.auth.sessions(user).await.unwrap();
    let ids: Vec<SessionId> = listed.iter().map(|session| session.session_id).collect();
    assert_eq!(ids, [phone.identity.session_id, first.identity.session_id]);
    assert_eq!(listed[0].device.as_ref().unwrap().as_str(), "phone");

    let session = first.identity.session_id;
    assert!(matches!(fixture.auth.end_session(stranger, session).await, Err(AuthError::NotFound)));
    assert!(matches!(fixture.auth.end_session(user, SessionId::generate()).await, Err(AuthError::NotFound)));
    let before = fixture.clock.now();
    fixture.auth.end_session(user, session).await.unwrap();
    assert!(matches!(fixture.auth.end_session(user, session).await, Err(AuthError::NotFound)));
    assert!(matches!(whoami(&fixture, &first.token).await, Err(AuthError::SessionEnded)));
    assert!(matches!(refresh(&fixture, &first.refresh_token).await, Err(AuthError::SessionEnded)));
    assert_eq!(fixture.auth.ended_since(before).await.unwrap(), [(user, session)]);
    whoami(&fixture, &phone.token).await.unwrap();
    assert_eq!(fixture.auth.sessions(user).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sec_30_the_longest_unused_of_too_many_sessions_ends() {
    let fixture = Fixture::with(AuthSettings { user_sessions: 3, ..settings() });
    let user = fixture.register("alice").await;
    let mut grants = Vec::new();
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(61)).await;
        grants.push(fixture.login("alice").await);
    }
    tokio::time::advance(Duration::from_secs(61)).await;
    whoami(&fixture, &grants[0].token).await.unwrap();
    let fourth = fixture.login("alice").await;
    assert!(matches!(whoami(&fixture, &grants[1].token).await, Err(AuthError::SessionEnded)));
    for living in [&grants[0], &grants[2], &fourth] {
        whoami(&fixture, &living.token).await.unwrap();
    }
    assert_eq!(fixture.auth.sessions(user).await.unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn sec_30_a_session_that_has_connections_is_in_use() {
    let fixture = Fixture::with(AuthSettings { user_sessions: 2, ..settings() });
    fixture.register("alice").await;
    let steady = fixture.login("alice").await;
    tokio::time::advance(Duration::from_secs(61)).await;
    let other = fixture.login("alice").await;
    tokio::time::advance(Duration::from_secs(61)).await;
    let used = vec![steady.identity.session_id];
    fixture.auth.record_used(used, fixture.clock.now()).await.unwrap();
    fixture.login("alice").await;
    whoami(&fixture, &steady.token).await.unwrap();
    assert!(matches!(whoami(&fixture, &other.token).await, Err(AuthError::SessionEnded)));
}

#[tokio::test(start_paused = true)]
async fn sec_30_logins_at_once_do_not_pass_the_limit() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let logins = (0..60).map(|_| fixture.login("alice"));
    let grants = futures::future::join_all(logins).await;
    assert_eq!(grants.len(), 60);
    assert_eq!(fixture.auth.sessions(user).await.unwrap().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn use_is_noted_about_once_a_minute() {
    let (fixture, user, grant) = signed_in().await;
    let used = async || fixture.auth.sessions(user).await.unwrap()[0].last_used_at;
    let start = used().await;
    tokio::time::advance(Duration::from_secs(59)).await;
    whoami(&fixture, &grant.token).await.unwrap();
    assert_eq!(used().await, start);
    tokio::time::advance(Duration::from_secs(1)).await;
    whoami(&fixture, &grant.token).await.unwrap();
    assert_eq!(used().await, start.plus(Duration::from_secs(60)));
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_not_listed_and_can_be_removed() {
    let (fixture, user, grant) = signed_in().await;
    tokio::time::advance(DAY * 8).await;
    assert_eq!(fixture.auth.sessions(user).await.unwrap(), []);
    assert_eq!(fixture.store.sessions_of(user).await.unwrap().len(), 1);
    fixture.auth.remove_expired().await.unwrap();
    assert_eq!(fixture.store.sessions_of(user).await.unwrap().len(), 0);
    assert!(matches!(refresh(&fixture, &grant.refresh_token).await, Err(AuthError::InvalidToken)));
}

#[tokio::test(start_paused = true)]
async fn sec_21_a_login_that_overlaps_a_password_change_leaves_no_session_behind() {
    let fixture = Fixture::with(AuthSettings { user_sessions: 0, ..settings() });
    let user = fixture.register("alice").await;
    let keep = fixture.login("alice").await.identity.session_id;
    let change = fixture.auth.change_password(user, keep, secret(PASSWORD), secret("battery staple"));
    let client = local();
    let logins = (0..30).map(|_| login(&*fixture.auth, "alice", PASSWORD, &client));
    let (changed, _) = tokio::join!(change, futures::future::join_all(logins));
    changed.unwrap();
    let left: Vec<SessionId> =
        fixture.auth.sessions(user).await.unwrap().into_iter().map(|session| session.session_id).collect();
    assert_eq!(left, [keep]);
}

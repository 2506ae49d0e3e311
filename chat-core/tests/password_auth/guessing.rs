//! Failed logins: what they tell, how long they take, and how many there may be.

use std::sync::Arc;
use std::time::Duration;

use chat_core::auth::AuthSettings;
use chat_core::error::AuthError;
use chat_core::port::{Auth, ClientContext};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::fixture::{
    Fixture, MINUTE, PASSWORD, from, local, login, register, registration, secret, settings,
};

const DELAY: Duration = Duration::from_millis(250);

async fn timed(
    fixture: &Fixture,
    name: &str,
    password: &str,
    client: &ClientContext,
) -> (AuthError, Duration) {
    let arrived = Instant::now();
    let error = login(&*fixture.auth, name, password, client).await.unwrap_err();
    (error, arrived.elapsed())
}

fn numbered(number: u16) -> ClientContext {
    let [high, low] = number.to_be_bytes();
    from(&format!("198.18.{high}.{low}"))
}

#[tokio::test(start_paused = true)]
async fn sec_15_every_failure_says_the_same_at_the_same_time() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    let disabled = fixture.register("bob").await;
    fixture.auth.set_disabled(disabled, true).await.unwrap();
    fixture.import("carol", "").await;
    fixture.import("dave", "$2y$05$.vGA1O9wmRjrwAVXD98HNOFxslKV.DvUhodPyFymn/YMP/fRLRhs2").await;
    let (huge, long) = ("x".repeat(50_000), "y".repeat(50_000));
    for round in 0..20 {
        for (name, password) in [
            ("alice", "wrong horse"),
            ("alice", ""),
            ("alice", long.as_str()),
            ("nobody", PASSWORD),
            ("", PASSWORD),
            ("\u{202E}x", PASSWORD),
            (&huge, PASSWORD),
            ("bob", PASSWORD),
            ("bob", "wrong horse"),
            ("carol", ""),
            ("dave", "wrong horse"),
        ] {
            let (error, took) = timed(&fixture, name, password, &numbered(round)).await;
            assert!(matches!(error, AuthError::InvalidCredentials), "{error}");
            assert_eq!(took, DELAY);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sec_15_being_slowed_down_tells_nothing_either() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    for name in ["alice", "nobody"] {
        for _ in 0..5 {
            assert!(matches!(
                timed(&fixture, name, "wrong", &from("192.0.2.7")).await.0,
                AuthError::InvalidCredentials
            ));
        }
        let (error, took) = timed(&fixture, name, PASSWORD, &from("192.0.2.7")).await;
        let AuthError::RateLimited { retry_after } = error else { panic!("{error}") };
        assert_eq!((retry_after, took), (Duration::from_secs(1) - DELAY, DELAY));
    }
}

#[tokio::test(start_paused = true)]
async fn a_success_is_not_held_back() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    let arrived = Instant::now();
    fixture.login("alice").await;
    assert_eq!(arrived.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn sec_17_the_delay_doubles_and_a_success_ends_it() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    let client = from("192.0.2.7");
    for _ in 0..5 {
        timed(&fixture, "alice", "wrong", &client).await;
    }
    for pause in [1, 2, 4, 8] {
        assert!(matches!(timed(&fixture, "alice", PASSWORD, &client).await.0, AuthError::RateLimited { .. }));
        tokio::time::advance(Duration::from_secs(pause)).await;
        assert!(matches!(timed(&fixture, "alice", "wrong", &client).await.0, AuthError::InvalidCredentials));
    }
    tokio::time::advance(Duration::from_secs(16)).await;
    login(&*fixture.auth, "alice", PASSWORD, &client).await.unwrap();
    for _ in 0..5 {
        assert!(matches!(timed(&fixture, "alice", "wrong", &client).await.0, AuthError::InvalidCredentials));
    }
}

#[tokio::test(start_paused = true)]
async fn sec_17_one_address_may_fail_thirty_times_a_minute() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    let attempts: Vec<String> = (0..200).map(|number| format!("name{number}")).collect();
    let network = ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"].map(from);
    let guesses = attempts.iter().enumerate();
    let guesses = guesses.map(|(number, name)| login(&*fixture.auth, name, PASSWORD, &network[number % 3]));
    let errors = futures::future::join_all(guesses).await;
    let wrong = errors.iter().filter(|error| matches!(error, Err(AuthError::InvalidCredentials))).count();
    assert_eq!(wrong, 30);
    let held = login(&*fixture.auth, "alice", PASSWORD, &network[0]).await;
    assert!(
        matches!(held, Err(AuthError::RateLimited { retry_after }) if retry_after <= Duration::from_secs(2))
    );
    login(&*fixture.auth, "alice", PASSWORD, &from("2001:db8:0:1::1")).await.unwrap();
    tokio::time::advance(MINUTE).await;
    login(&*fixture.auth, "alice", PASSWORD, &network[0]).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_17_successes_are_not_counted_as_failures() {
    let fixture = Fixture::new();
    for number in 0..100 {
        let name = format!("user{number}x");
        fixture.register(&name).await;
        login(&*fixture.auth, &name, PASSWORD, &from("192.0.2.7")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sec_17_a_stranger_does_not_lock_the_owner_out() {
    let fixture = Fixture::new();
    fixture.register("alice").await;
    let (home, mobile) = (from("192.0.2.7"), from("203.0.113.9"));
    let grant = login(&*fixture.auth, "alice", PASSWORD, &home).await.unwrap();

    let mut guessed = 0;
    for number in 0..1_000 {
        let guess = login(&*fixture.auth, "ALICE", "wrong", &numbered(number)).await;
        guessed += u32::from(matches!(guess, Err(AuthError::InvalidCredentials)));
    }
    // A hundred at once, and one more in each half minute of the 250 s that this took.
    assert!((100..=110).contains(&guessed), "{guessed}");

    assert!(matches!(
        login(&*fixture.auth, "alice", PASSWORD, &mobile).await,
        Err(AuthError::RateLimited { .. })
    ));
    login(&*fixture.auth, "alice", PASSWORD, &home).await.unwrap();
    // A device that is still signed in vouches for the place where it is.
    fixture.auth.authenticate(grant.token.expose_secret(), &mobile).await.unwrap();
    login(&*fixture.auth, "alice", PASSWORD, &mobile).await.unwrap();

    let restarted = fixture.restarted(settings());
    restarted.refresh(&grant.refresh_token, &home).await.unwrap();
    for number in 0..200 {
        let _refused = login(&restarted, "alice", "wrong", &numbered(number)).await;
    }
    login(&restarted, "alice", PASSWORD, &home).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_17_guessing_the_present_password_in_a_stolen_session_is_slowed_down() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let keep = fixture.login("alice").await.identity.session_id;
    let change = async |old: &str| {
        let arrived = Instant::now();
        let result = fixture.auth.change_password(user, keep, secret(old), secret("battery staple")).await;
        (result.unwrap_err(), arrived.elapsed())
    };
    for _ in 0..5 {
        let (error, took) = change("wrong").await;
        assert!(matches!(error, AuthError::InvalidCredentials), "{error}");
        assert_eq!(took, DELAY);
    }
    assert!(matches!(change(PASSWORD).await.0, AuthError::RateLimited { .. }));
    fixture.login("alice").await;
}

#[tokio::test(start_paused = true)]
async fn registrations_of_an_address_are_limited() {
    let fixture = Fixture::new();
    let register_from = async |number: u32, client: &ClientContext| {
        fixture.auth.register(registration(&format!("user{number}x"), PASSWORD), client).await
    };
    for number in 0..60 {
        register_from(number, &from("192.0.2.7")).await.unwrap();
    }
    let refused = register_from(60, &from("192.0.2.7")).await;
    assert!(
        matches!(refused, Err(AuthError::RateLimited { retry_after }) if retry_after == Duration::from_secs(1))
    );
    register_from(61, &from("192.0.2.8")).await.unwrap();
    for number in 100..200 {
        register_from(number, &from("127.0.0.1")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sec_18_more_logins_than_can_wait_are_turned_away_and_not_counted() {
    let fixture =
        Fixture::with(AuthSettings { hashes_at_once: 1, hashes_waiting: 9, user_sessions: 0, ..settings() });
    register(&*fixture.auth, "alice", PASSWORD).await.unwrap();
    let client = from("192.0.2.7");
    fixture.auth.authenticate(fixture.login("alice").await.token.expose_secret(), &client).await.unwrap();
    let attempts = (0..30).map(|_| login(&*fixture.auth, "alice", PASSWORD, &client));
    let results = futures::future::join_all(attempts).await;
    let (granted, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert!(granted.len() >= 10);
    assert!(!refused.is_empty());
    assert!(refused.into_iter().all(|error| matches!(error, Err(AuthError::RateLimited { .. }))));
    for _ in 0..40 {
        login(&*fixture.auth, "alice", PASSWORD, &client).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sec_18_a_flood_of_right_passwords_from_some_addresses_turns_nobody_else_away() {
    let fixture = Fixture::with(AuthSettings { hashes_at_once: 1, hashes_waiting: 9, ..settings() });
    for name in ["alice", "mallory0", "mallory1", "mallory2"] {
        fixture.register(name).await;
    }
    let strangers: Vec<ClientContext> = (0..5).map(numbered).collect();
    let names: Vec<String> = (0..3).map(|number| format!("mallory{number}")).collect();
    let home = from("192.0.2.7");
    let flood = futures::future::join_all(
        (0..90).map(|number| login(&*fixture.auth, &names[number % 3], PASSWORD, &strangers[number % 5])),
    );
    let (flood, alice) = futures::join!(flood, login(&*fixture.auth, "alice", PASSWORD, &home));
    assert!(
        flood.iter().any(|result| matches!(result, Err(AuthError::RateLimited { .. }))),
        "the queue was full"
    );
    alice.unwrap();
}

#[tokio::test]
async fn sec_18_hashing_does_not_stop_the_async_threads() {
    let fixture = Fixture::with(AuthSettings { argon2_memory_kib: 19_456, argon2_passes: 4, ..settings() });
    fixture.register("alice").await;
    let auth = Arc::clone(&fixture.auth);
    let client = local();
    let login = login(&*auth, "alice", PASSWORD, &client);
    tokio::pin!(login);
    let mut turns = 0_u32;
    loop {
        tokio::select! {
            biased;
            result = &mut login => break assert!(result.is_ok()),
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    assert!(turns > 10, "this thread had {turns} turns while a password was hashed");
}

//! Registering, being found, and changing what an account says.

use std::sync::Arc;

use chat_core::auth::AuthSettings;
use chat_core::domain::DisplayName;
use chat_core::error::AuthError;
use chat_core::id::UserId;
use chat_core::port::{AccountCreation, AccountStore, Auth, NewAccount, UsernameKeys};
use secrecy::ExposeSecret;

use crate::fixture::{Fixture, HOUR, PASSWORD, from, local, login, register, registration, secret, settings};

fn field_of(error: AuthError) -> &'static str {
    match error {
        AuthError::InvalidField { field, .. } => field,
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_registered_user_signs_in_and_is_who_the_token_says() {
    let fixture = Fixture::new();
    let user = register(&*fixture.auth, "张三Zhang", PASSWORD).await.unwrap();
    let grant = login(&*fixture.auth, "张三zhang", PASSWORD, &from("192.0.2.7")).await.unwrap();
    let identity = fixture.auth.authenticate(grant.token.expose_secret(), &local()).await.unwrap();
    assert_eq!(identity, grant.identity);
    assert_eq!((identity.user_id, identity.username.as_str()), (user, "张三Zhang"));
    assert_eq!(identity.expires_at.unwrap().since(fixture.clock.now()), grant.expires_in);
    let profile = fixture.auth.profiles(vec![user]).await.unwrap().remove(0);
    assert_eq!((profile.username.as_str(), profile.display_name.as_str()), ("张三Zhang", "张三Zhang"));
    assert!(fixture.store.account(user).await.unwrap().unwrap().last_login.is_some());
}

#[tokio::test(start_paused = true)]
async fn nobody_was_seen_in_the_future() {
    let fixture = Fixture::new();
    let (user, now) = (fixture.register("alice").await, fixture.clock.now());
    let seen = async |at| {
        fixture.auth.record_seen(vec![(user, at)]).await.unwrap();
        fixture.auth.profiles(vec![user]).await.unwrap().remove(0).last_seen.unwrap()
    };
    assert_eq!(seen(now.minus(HOUR)).await, now.minus(HOUR));
    assert_eq!(seen(now.plus(HOUR)).await, now);
}

#[tokio::test(start_paused = true)]
async fn sec_13_the_store_gets_argon2id_and_never_the_password() {
    let fixture = Fixture::with(AuthSettings { argon2_memory_kib: 19_456, argon2_passes: 2, ..settings() });
    let user = fixture.register("alice").await;
    let hash = fixture.password_hash(user).await;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(!format!("{:?} {hash}", fixture.store).contains(PASSWORD));
}

#[tokio::test(start_paused = true)]
async fn sec_13_logging_in_renews_a_hash_when_the_parameters_rise() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let raised = fixture.restarted(AuthSettings { argon2_passes: 3, ..settings() });
    login(&raised, "alice", PASSWORD, &local()).await.unwrap();
    let renewed = fixture.password_hash(user).await;
    assert!(renewed.contains("t=3"), "{renewed}");
    fixture.login("alice").await;
    assert_eq!(fixture.password_hash(user).await, renewed, "lower parameters do not worsen a hash");
}

#[tokio::test(start_paused = true)]
async fn sec_13_a_bcrypt_password_of_the_old_system_works_and_becomes_argon2id() {
    let fixture = Fixture::new();
    let user = fixture.import("alice", "$2y$05$.vGA1O9wmRjrwAVXD98HNOFxslKV.DvUhodPyFymn/YMP/fRLRhs2").await;
    assert!(login(&*fixture.auth, "alice", "hunter23", &local()).await.is_err());
    assert!(fixture.password_hash(user).await.starts_with("$2y$"));
    login(&*fixture.auth, "alice", "hunter22", &local()).await.unwrap();
    assert!(fixture.password_hash(user).await.starts_with("$argon2id$"));
    login(&*fixture.auth, "alice", "hunter22", &local()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_13_a_long_bcrypt_password_stays_its_owners_whoever_types_its_beginning() {
    let fixture = Fixture::new();
    // As the C library writes it of 100 times x.
    let stored = "$2y$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
    let user = fixture.import("alice", stored).await;
    let (whole, start) = ("x".repeat(100), "x".repeat(72));
    for typed in [&format!("{start}y"), &start, &whole] {
        login(&*fixture.auth, "alice", typed, &local()).await.unwrap();
    }
    let keep = fixture.auth.sessions(user).await.unwrap().remove(0).session_id;
    let (old, new) = (secret(&whole), secret("battery staple"));
    fixture.auth.change_password(user, keep, old, new).await.unwrap();
    assert!(fixture.password_hash(user).await.starts_with("$argon2id$"));
    assert!(login(&*fixture.auth, "alice", &start, &local()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn names_and_passwords_from_before_the_rules_still_sign_in() {
    let fixture = Fixture::new();
    let hash = {
        let user = fixture.register("somebody").await;
        fixture.password_hash(user).await
    };
    for name in ["x", "admin", "раypal", "alice smith", "alice@example.org", "🙂"] {
        let user = fixture.import(name, &hash).await;
        let grant = login(&*fixture.auth, name, PASSWORD, &local()).await.unwrap();
        assert_eq!(grant.identity.user_id, user);
        assert_eq!(fixture.auth.find_user(name).await.unwrap(), Some(user));
    }
}

#[tokio::test(start_paused = true)]
async fn sec_14_new_passwords_follow_the_policy() {
    let fixture = Fixture::new();
    let too_long = "z".repeat(129);
    for password in
        ["", "short", "sunshine", "Password1", "abcd\0efgh", "someone@example.org", "guybrush_t", &too_long]
    {
        let error = register(&*fixture.auth, "Guybrush_T", password).await.unwrap_err();
        assert_eq!(field_of(error), "password", "{password:?}");
    }
    assert_eq!(fixture.auth.find_user("Guybrush_T").await.unwrap(), None);
    let strict = fixture.restarted(AuthSettings { password_characters_min: 15, ..settings() });
    assert_eq!(field_of(register(&strict, "bob", "fourteen chars").await.unwrap_err()), "password");
    register(&strict, "bob", "fifteen letters").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_14_composition_does_not_matter_and_nothing_is_cut_off() {
    let fixture = Fixture::new();
    register(&*fixture.auth, "zoe", "Cafe\u{301} au lait").await.unwrap();
    login(&*fixture.auth, "zoe", "Café au lait", &local()).await.unwrap();
    for wrong in ["Café au lait ", "Cafe au lait", "café au lait"] {
        assert!(login(&*fixture.auth, "zoe", wrong, &local()).await.is_err());
    }
    let long = "字".repeat(128);
    register(&*fixture.auth, "long", &long).await.unwrap();
    login(&*fixture.auth, "long", &long, &local()).await.unwrap();
    assert!(login(&*fixture.auth, "long", &"字".repeat(127), &local()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn sec_16_a_taken_name_is_refused_alike_whoever_has_it() {
    let fixture = Fixture::new();
    fixture.register("paypal").await;
    let disabled = fixture.register("modern").await;
    fixture.auth.set_disabled(disabled, true).await.unwrap();
    for name in ["paypal", "PayPal", "ｐａｙｐａｌ", "раураӏ", "paypa1", "modern", "modem"] {
        let error = register(&*fixture.auth, name, PASSWORD).await.unwrap_err();
        assert!(matches!(error, AuthError::UsernameTaken), "{name}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn sec_19_impossible_names_are_refused_and_simply_nobody() {
    let fixture = Fixture::new();
    let huge = "x".repeat(100_000);
    for name in
        ["", "a", "раypal", "ali\u{200B}ce", "\u{202E}ecila", "admin", "{\"$ne\":null}", "a\0b", &huge]
    {
        assert_eq!(field_of(register(&*fixture.auth, name, PASSWORD).await.unwrap_err()), "username");
        assert_eq!(fixture.auth.find_user(name).await.unwrap(), None);
        let error = login(&*fixture.auth, name, PASSWORD, &local()).await.unwrap_err();
        assert!(matches!(error, AuthError::InvalidCredentials), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn sec_19_all_spellings_of_a_name_are_one_account_and_sign_in() {
    let fixture = Fixture::new();
    let nfd = "\u{1100}\u{1175}\u{11B7}\u{110E}\u{1165}\u{11AF}\u{1109}\u{116E}";
    for spellings in [["ΝΙΚΟΣ", "νικος", "νικοσ"], ["straße", "STRASSE", "Strasse"], [nfd, "김철수", nfd]]
    {
        let user = fixture.register(spellings[0]).await;
        for spelling in spellings {
            let grant = login(&*fixture.auth, spelling, PASSWORD, &local()).await.unwrap();
            assert_eq!(grant.identity.user_id, user, "{spelling}");
            assert_eq!(fixture.auth.find_user(spelling).await.unwrap(), Some(user));
            let again = register(&*fixture.auth, spelling, PASSWORD).await.unwrap_err();
            assert!(matches!(again, AuthError::UsernameTaken), "{spelling}: {again}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sec_19_accounts_of_a_time_when_their_names_were_two_are_both_found_as_then() {
    let fixture = Fixture::new();
    let hash = {
        let user = fixture.register("somebody").await;
        fixture.password_hash(user).await
    };
    let upper = fixture.import("ΝΙΚΟΣ", &hash).await;
    // As it was registered then: no migration could give it the key that the other one has.
    let user_id = UserId::generate();
    let text = "Νικος".to_owned();
    let account = NewAccount {
        user_id,
        username: UsernameKeys { text, folded: "νικος".to_owned(), skeleton: "νικος".to_owned() },
        display_name: DisplayName::new("somebody").unwrap(),
        email: None,
        password_hash: hash,
        created_at: fixture.clock.now(),
    };
    assert_eq!(fixture.store.create_account(account).await.unwrap(), AccountCreation::Created);
    for (typed, user) in [("Νικος", user_id), ("νικος", user_id), ("ΝΙΚΟΣ", upper), ("νικοσ", upper)]
    {
        let grant = login(&*fixture.auth, typed, PASSWORD, &local()).await.unwrap();
        assert_eq!(grant.identity.user_id, user, "{typed}");
    }
}

#[tokio::test(start_paused = true)]
async fn sec_20_of_two_hundred_registrations_at_once_one_succeeds() {
    let fixture = Fixture::with(AuthSettings { hashes_waiting: 1_000, ..settings() });
    for spellings in [["alice", "ALICE", "Alice", "ａｌｉｃｅ"], ["paypal", "paypa1", "раураӏ", "PAYPAL"]]
    {
        let attempts = (0..200).map(|number| register(&*fixture.auth, spellings[number % 4], PASSWORD));
        let results = futures::future::join_all(attempts).await;
        let (created, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(created.len(), 1);
        assert!(refused.into_iter().all(|error| matches!(error, Err(AuthError::UsernameTaken))));
    }
}

#[tokio::test(start_paused = true)]
async fn sec_21_a_password_change_needs_the_present_one_and_ends_the_other_sessions() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let (here, there) = (fixture.login("alice").await, fixture.login("alice").await);
    let keep = here.identity.session_id;
    let change =
        async |old: &str, new: &str| fixture.auth.change_password(user, keep, secret(old), secret(new)).await;

    assert!(matches!(change("wrong horse", "battery staple").await, Err(AuthError::InvalidCredentials)));
    for weak in ["short", "password", "alice", "someone@example.org"] {
        assert_eq!(field_of(change(PASSWORD, weak).await.unwrap_err()), "new_password");
    }
    assert!(fixture.auth.authenticate(there.token.expose_secret(), &local()).await.is_ok());

    assert_eq!(change(PASSWORD, "battery staple").await.unwrap(), [there.identity.session_id]);
    assert!(fixture.auth.authenticate(here.token.expose_secret(), &local()).await.is_ok());
    let error = fixture.auth.authenticate(there.token.expose_secret(), &local()).await.unwrap_err();
    assert!(matches!(error, AuthError::SessionEnded));
    assert!(matches!(
        fixture.auth.refresh(&there.refresh_token, &local()).await,
        Err(AuthError::SessionEnded)
    ));
    assert!(login(&*fixture.auth, "alice", PASSWORD, &local()).await.is_err());
    login(&*fixture.auth, "alice", "battery staple", &local()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_21_of_two_password_changes_at_once_one_holds() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let keep = fixture.login("alice").await.identity.session_id;
    let change = |new: &str| fixture.auth.change_password(user, keep, secret(PASSWORD), secret(new));
    let (first, second) = tokio::join!(change("battery staple"), change("staple battery"));
    let (held, lost) = if first.is_ok() {
        ("battery staple", "staple battery")
    } else {
        ("staple battery", "battery staple")
    };
    assert!(first.is_ok() != second.is_ok());
    login(&*fixture.auth, "alice", held, &local()).await.unwrap();
    assert!(login(&*fixture.auth, "alice", lost, &local()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_disabled_account_keeps_its_name_and_loses_its_sessions() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let grant = fixture.login("alice").await;
    assert_eq!(fixture.auth.set_disabled(user, true).await.unwrap(), [grant.identity.session_id]);
    for result in [
        fixture.auth.authenticate(grant.token.expose_secret(), &local()).await.err(),
        fixture.auth.refresh(&grant.refresh_token, &local()).await.err(),
    ] {
        assert!(matches!(result, Some(AuthError::SessionEnded)));
    }
    assert!(matches!(
        login(&*fixture.auth, "alice", PASSWORD, &local()).await,
        Err(AuthError::InvalidCredentials)
    ));
    assert_eq!(fixture.auth.find_user("alice").await.unwrap(), Some(user));
    fixture.auth.set_disabled(user, false).await.unwrap();
    fixture.login("alice").await;
    let stranger = chat_core::id::UserId::generate();
    assert!(matches!(fixture.auth.set_disabled(stranger, true).await, Err(AuthError::NotFound)));
}

#[tokio::test(start_paused = true)]
async fn sec_23_a_session_of_an_account_that_is_disabled_elsewhere_is_over_at_once() {
    let fixture = Fixture::new();
    let user = fixture.register("alice").await;
    let grant = fixture.login("alice").await;
    // Another node has set the flag and not yet ended the sessions.
    fixture.store.set_disabled(user, true).await.unwrap();
    let error = fixture.auth.authenticate(grant.token.expose_secret(), &local()).await.unwrap_err();
    assert!(matches!(error, AuthError::SessionEnded));
    assert!(matches!(
        fixture.auth.refresh(&grant.refresh_token, &local()).await,
        Err(AuthError::SessionEnded)
    ));
}

#[tokio::test(start_paused = true)]
async fn what_others_see_can_change() {
    let fixture = Fixture::new();
    let mut wanted = registration("alice", PASSWORD);
    wanted.display_name = Some(DisplayName::new("Alice 🙂").unwrap());
    let user = fixture.auth.register(wanted, &local()).await.unwrap();
    let shown = async || fixture.auth.profiles(vec![user]).await.unwrap().remove(0);
    assert_eq!(shown().await.display_name.as_str(), "Alice 🙂");
    fixture.auth.set_display_name(user, DisplayName::new("A.").unwrap()).await.unwrap();
    let now = fixture.clock.now();
    fixture.auth.record_seen(vec![(user, now)]).await.unwrap();
    assert_eq!((shown().await.display_name.as_str(), shown().await.last_seen), ("A.", Some(now)));
}

#[tokio::test(start_paused = true)]
async fn an_auth_can_be_shared_as_the_port() {
    let fixture = Fixture::new();
    let auth: Arc<dyn Auth> = fixture.auth.clone();
    assert_eq!(auth.find_user("nobody-here").await.unwrap(), None);
    assert!(!format!("{auth:?}").is_empty());
}

/// As a store has them that was filled from one which took over accounts of another system.
#[tokio::test(start_paused = true)]
async fn sec_19_an_account_whose_name_is_like_another_is_found_by_its_exact_name_and_not_by_its_keys() {
    let fixture = Fixture::new();
    let hash = fixture.password_hash(fixture.register("ann").await).await;
    let key = "\u{1}ANN".to_owned();
    let displaced = NewAccount {
        user_id: UserId::generate(),
        username: UsernameKeys { text: "ANN".to_owned(), folded: key.clone(), skeleton: key.clone() },
        display_name: DisplayName::new("ANN").unwrap(),
        email: None,
        password_hash: hash,
        created_at: fixture.clock.now(),
    };
    assert_eq!(fixture.store.create_account(displaced.clone()).await.unwrap(), AccountCreation::Created);
    assert_eq!(fixture.auth.find_user("ANN").await.unwrap(), Some(displaced.user_id));
    assert_eq!(fixture.auth.find_user(&key).await.unwrap(), None);
    assert!(login(&*fixture.auth, &key, PASSWORD, &local()).await.is_err());
    let grant = login(&*fixture.auth, "ANN", PASSWORD, &local()).await.unwrap();
    assert_eq!(grant.identity.user_id, displaced.user_id);
    let refused = register(&*fixture.auth, &key, PASSWORD).await.unwrap_err();
    assert_eq!(field_of(refused), "username");
}

//! What hashes are made, which are verified and renewed, and how many at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::auth::throttle::{Origin, Target};

pub(in crate::auth) fn cheap() -> AuthSettings {
    AuthSettings { argon2_memory_kib: 8, argon2_passes: 1, ..AuthSettings::default() }
}

fn somebody() -> Applicant {
    Applicant::new(Origin::Local, Target::login("somebody"))
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text)
}

fn bcrypt_hash(password: &str, version: bcrypt::Version) -> String {
    bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().format_for_version(version)
}

#[tokio::test]
async fn sec_13_hashes_are_argon2id_with_a_random_salt() {
    let settings = AuthSettings::default();
    assert_eq!((settings.argon2_memory_kib, settings.argon2_passes, settings.argon2_lanes), (19_456, 2, 1));
    let pool = HashPool::new(&settings).unwrap();
    let password = secret("hunter22");
    let (first, second) = tokio::join!(pool.hash(somebody(), &password), pool.hash(somebody(), &password));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first, second);
    for text in [&first, &second] {
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        let hash = PasswordHash::new(text).unwrap();
        assert_eq!(hash.salt.unwrap().len(), 16);
        assert_eq!(hash.hash.unwrap().len(), 32);
        assert!(!text.contains("hunter22"));
    }
}

#[tokio::test]
async fn sec_13_better_parameters_renew_the_hash_and_lower_ones_do_not() {
    let weak = HashPool::new(&cheap()).unwrap();
    let strong = HashPool::new(&AuthSettings { argon2_passes: 2, ..cheap() }).unwrap();
    let password = secret("hunter22");
    let old = weak.hash(somebody(), &password).await.unwrap();
    assert_eq!(
        weak.verify(somebody(), Some(&old), &password).await.unwrap(),
        Verdict::Match { upgrade: None }
    );
    assert_eq!(strong.verify(somebody(), Some(&old), &secret("hunter23")).await.unwrap(), Verdict::NoMatch);
    let Verdict::Match { upgrade: Some(new) } =
        strong.verify(somebody(), Some(&old), &password).await.unwrap()
    else {
        panic!("the hash is renewed");
    };
    assert!(new.starts_with("$argon2id$v=19$m=8,t=2,p=1$"));
    for pool in [&strong, &weak] {
        assert_eq!(
            pool.verify(somebody(), Some(&new), &password).await.unwrap(),
            Verdict::Match { upgrade: None }
        );
    }
}

#[tokio::test]
async fn sec_13_bcrypt_is_verified_on_the_typed_bytes_and_renewed() {
    let pool = HashPool::new(&cheap()).unwrap();
    for version in [bcrypt::Version::TwoY, bcrypt::Version::TwoA, bcrypt::Version::TwoB] {
        let stored = bcrypt_hash("cafe\u{301} noir", version);
        let Verdict::Match { upgrade: Some(new) } =
            pool.verify(somebody(), Some(&stored), &secret("cafe\u{301} noir")).await.unwrap()
        else {
            panic!("{stored} is renewed");
        };
        assert!(new.starts_with("$argon2id$"));
        let composed = pool.verify(somebody(), Some(&new), &secret("café noir")).await.unwrap();
        assert_eq!(composed, Verdict::Match { upgrade: None });
        assert_eq!(
            pool.verify(somebody(), Some(&stored), &secret("café noir")).await.unwrap(),
            Verdict::NoMatch
        );
    }
}

#[tokio::test]
async fn sec_13_hashes_that_the_c_library_wrote_are_verified() {
    let pool = HashPool::new(&cheap()).unwrap();
    for (password, stored) in [
        ("hunter22", "$2y$05$.vGA1O9wmRjrwAVXD98HNOFxslKV.DvUhodPyFymn/YMP/fRLRhs2"),
        ("密码-päss", "$2y$05$.vGA1O9wmRjrwAVXD98HNOfGwGW4StjS0OjniOmtfuYj66Xk3UHTW"),
    ] {
        let verdict = pool.verify(somebody(), Some(stored), &secret(password)).await.unwrap();
        assert!(matches!(verdict, Verdict::Match { upgrade: Some(_) }));
    }
}

#[tokio::test]
async fn sec_13_a_hash_that_does_not_see_all_that_was_typed_is_not_renewed() {
    let pool = HashPool::new(&cheap()).unwrap();
    let long = "字".repeat(30);
    let (start, same_start) = ("字".repeat(24), format!("{}{}", "字".repeat(24), "x".repeat(40)));
    assert_eq!(start.len(), 72);
    for owner in [&long, &start] {
        let stored = bcrypt_hash(owner, bcrypt::Version::TwoY);
        for typed in [&long, &same_start, &start] {
            let verdict = pool.verify(somebody(), Some(&stored), &secret(typed)).await.unwrap();
            assert_eq!(verdict, Verdict::Match { upgrade: None }, "{owner} {typed}");
        }
    }
    let whole = "x".repeat(71);
    let stored = bcrypt_hash(&whole, bcrypt::Version::TwoY);
    let verdict = pool.verify(somebody(), Some(&stored), &secret(&whole)).await.unwrap();
    assert!(matches!(verdict, Verdict::Match { upgrade: Some(_) }));
    let verdict = pool.verify(somebody(), Some(&stored), &secret(&"x".repeat(72))).await.unwrap();
    assert_eq!(verdict, Verdict::NoMatch);
}

#[tokio::test]
async fn bcrypt_matches_nothing_that_has_a_zero_byte() {
    let pool = HashPool::new(&cheap()).unwrap();
    let stored = bcrypt_hash("secret", bcrypt::Version::TwoY);
    assert_eq!(pool.verify(somebody(), Some(&stored), &secret("secret\0x")).await.unwrap(), Verdict::NoMatch);
}

#[tokio::test]
async fn sec_23_hashes_that_cannot_be_verified_match_nothing() {
    let pool = HashPool::new(&cheap()).unwrap();
    let expensive = "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA";
    let endless = bcrypt_hash("x", bcrypt::Version::TwoY).replace("$04$", "$31$");
    for stored in [
        "",
        "x",
        "$2y$",
        "$2x$10$abc",
        "$argon2id$",
        "$argon2id$v=19$m=8,t=1,p=1",
        "plain",
        expensive,
        &endless,
    ] {
        for typed in ["", "x", stored] {
            let verdict = pool.verify(somebody(), Some(stored), &secret(typed)).await.unwrap();
            assert_eq!(verdict, Verdict::Unreadable, "{stored}");
        }
    }
    assert_eq!(pool.verify(somebody(), None, &secret("")).await.unwrap(), Verdict::NoMatch);
}

#[tokio::test]
async fn sec_18_a_guess_at_a_foreign_hash_has_a_largest_price_and_one_of_ours_is_always_verified() {
    let of = |memory: u32, passes: u32| {
        let (salt, hash) = ("A".repeat(22), "A".repeat(43));
        format!("$argon2id$v=19$m={memory},t={passes},p=1${salt}${hash}")
    };
    let ours = Params::new(8, 1, 1, None).unwrap();
    let large = Params::new(512 * 1_024, 4, 1, None).unwrap();
    for (memory, passes, is_computed, is_computed_as_ours) in [
        (64 * 1_024, 4, true, true),
        (256 * 1_024, 4, true, true),
        (256 * 1_024, 5, false, true),
        (512 * 1_024, 1, false, true),
        (512 * 1_024, 4, false, true),
        (8, 131_072, true, true),
        (8, 1_000_000, false, false),
        (1_024 * 1_024, 64, false, false),
    ] {
        let text = of(memory, passes);
        let hash = PasswordHash::new(&text).unwrap();
        assert_eq!(is_readable(&hash, &ours), is_computed, "{text}");
        assert_eq!(is_readable(&hash, &large), is_computed_as_ours, "{text}");
    }
    let pool = HashPool::new(&cheap()).unwrap();
    let verdict = pool.verify(somebody(), Some(&of(1_024 * 1_024, 64)), &secret("x")).await.unwrap();
    assert_eq!(verdict, Verdict::Unreadable);
}

#[tokio::test]
async fn sec_13_hashes_of_every_kind_that_the_reference_program_writes_are_verified() {
    let pool = HashPool::new(&cheap()).unwrap();
    for stored in [
        "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc",
        "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
        "$argon2i$m=256,t=2,p=1$c29tZXNhbHQ$/U3YPXYsSb3q9XxHvc0MLxur+GP960kN9j7emXX8zwY",
    ] {
        let verdict = pool.verify(somebody(), Some(stored), &secret("password")).await.unwrap();
        assert!(matches!(verdict, Verdict::Match { .. }), "{stored}");
        assert_eq!(
            pool.verify(somebody(), Some(stored), &secret("passwort")).await.unwrap(),
            Verdict::NoMatch
        );
    }
}

#[tokio::test]
async fn sec_18_hashing_is_bounded_and_the_rest_is_turned_away() {
    let pool = HashPool::new(&AuthSettings { hashes_at_once: 2, hashes_waiting: 3, ..cheap() }).unwrap();
    let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let job = || {
        let (running, peak, gate) = (Arc::clone(&running), Arc::clone(&peak), Arc::clone(&gate));
        pool.run(somebody(), move |_| {
            peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let opened = gate.lock().unwrap().recv();
            running.fetch_sub(1, Ordering::SeqCst);
            opened
        })
    };
    let mut jobs: Vec<_> = (0..5).map(|_| Box::pin(job())).collect();
    for job in &mut jobs {
        assert!(futures::poll!(job).is_pending());
    }
    let refused = pool.run(somebody(), |_| ()).await;
    assert!(matches!(refused, Err(AuthError::RateLimited { retry_after }) if !retry_after.is_zero()));
    for _ in 0..5 {
        open.send(()).unwrap();
    }
    for result in futures::future::join_all(jobs).await {
        assert_eq!(result.unwrap(), Ok(()));
    }
    assert!(peak.load(Ordering::SeqCst) <= 2);
    assert!(pool.run(somebody(), |_| ()).await.is_ok());
}

#[tokio::test]
async fn sec_23_a_job_that_panics_is_an_error_and_gives_its_place_back() {
    let pool = HashPool::new(&AuthSettings { hashes_at_once: 1, hashes_waiting: 0, ..cheap() }).unwrap();
    for _ in 0..3 {
        let result: Result<(), _> = pool.run(somebody(), |_| panic!("a bug")).await;
        assert!(matches!(result, Err(AuthError::Internal(_))));
    }
    assert!(pool.hash(somebody(), &secret("hunter22")).await.is_ok());
}

#[test]
fn impossible_parameters_are_refused_at_the_start() {
    for settings in [
        AuthSettings { argon2_memory_kib: 7, ..cheap() },
        AuthSettings { argon2_passes: 0, ..cheap() },
        AuthSettings { argon2_lanes: 0, ..cheap() },
        AuthSettings { argon2_memory_kib: 2_000_000, ..cheap() },
    ] {
        assert!(HashPool::new(&settings).is_err());
    }
}

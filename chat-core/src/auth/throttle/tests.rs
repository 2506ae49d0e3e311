//! What guessing and logging in cost, on paused time.

use super::*;

fn address(text: &str) -> Origin {
    Origin::of(Some(text.parse().unwrap()))
}

fn numbered(number: u32) -> Origin {
    Origin::V4(number.to_be_bytes())
}

/// Fails to sign in until the throttle refuses; how often it did not.
fn guess(throttle: &Throttle, target: Target, origin: Origin) -> (u32, Duration) {
    for count in 0..100_000 {
        match throttle.begin(target, origin) {
            Ok(attempt) => throttle.failed(attempt),
            Err(wait) => return (count, wait),
        }
    }
    panic!("the throttle refuses at some time");
}

async fn pass(duration: Duration) {
    tokio::time::advance(duration).await;
}

#[test]
fn origins_are_addresses_and_ipv6_networks() {
    assert_eq!(Origin::of(None), Origin::Local);
    for local in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        assert_eq!(address(local), Origin::Local, "{local}");
    }
    assert_eq!(address("::ffff:192.0.2.7"), address("192.0.2.7"));
    assert_ne!(address("192.0.2.7"), address("192.0.2.8"));
    assert_eq!(address("2001:db8:1:2::1"), address("2001:db8:1:2:ffff::9"));
    assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
}

#[tokio::test(start_paused = true)]
async fn sec_17_pauses_after_five_failures_double() {
    let throttle = Throttle::new(&AuthSettings::default());
    let (target, origin) = (Target::login("alice"), address("192.0.2.7"));
    assert_eq!(guess(&throttle, target, origin), (5, Duration::from_secs(1)));
    for pause in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900] {
        let pause = Duration::from_secs(pause);
        pass(pause - Duration::from_millis(1)).await;
        assert_eq!(throttle.begin(target, origin).unwrap_err(), Duration::from_millis(1));
        pass(Duration::from_millis(1)).await;
        let attempt = throttle.begin(target, origin).unwrap();
        throttle.failed(attempt);
    }
    pass(ROW_FORGOTTEN + Duration::from_secs(1)).await;
    let attempt = throttle.begin(target, origin).unwrap();
    throttle.failed(attempt);
    assert!(throttle.begin(target, origin).is_ok());
}

#[tokio::test(start_paused = true)]
async fn sec_17_one_address_fails_thirty_times_a_minute_over_all_names() {
    let throttle = Throttle::new(&AuthSettings::default());
    let origin = address("2001:db8::1");
    let neighbour = address("2001:db8::ffff");
    let mut allowed = 0;
    for name in 0..10_000 {
        let from = if name % 2 == 0 { origin } else { neighbour };
        if let Ok(attempt) = throttle.begin(Target::login(&name.to_string()), from) {
            throttle.failed(attempt);
            allowed += 1;
        }
    }
    assert_eq!(allowed, 30);
    pass(Duration::from_secs(2)).await;
    assert!(throttle.begin(Target::login("next"), origin).is_ok());
    assert!(throttle.begin(Target::login("next"), origin).is_err());
    assert!(throttle.begin(Target::login("next"), Origin::Local).is_ok());
}

#[tokio::test(start_paused = true)]
async fn sec_17_ten_thousand_addresses_get_a_hundred_guesses_at_one_account() {
    let throttle = Throttle::new(&AuthSettings::default());
    let target = Target::login("alice");
    let mut allowed = 0;
    for number in 0..10_000 {
        if let Ok(attempt) = throttle.begin(target, numbered(number)) {
            throttle.failed(attempt);
            allowed += 1;
        }
    }
    assert_eq!(allowed, 100);
    pass(STRANGER_INTERVAL).await;
    assert!(throttle.begin(target, numbered(20_000)).is_ok());
    assert!(throttle.begin(target, numbered(20_001)).is_err());
}

#[tokio::test(start_paused = true)]
async fn sec_17_strangers_do_not_lock_the_owner_out() {
    let throttle = Throttle::new(&AuthSettings::default());
    let (target, home) = (Target::login("alice"), address("192.0.2.7"));
    throttle.known(target, home);
    for number in 0..1_000 {
        let (..) = guess(&throttle, target, numbered(number));
    }
    let attempt = throttle.begin(target, home).expect("the owner's address is not slowed down");
    throttle.succeeded(attempt);
    assert!(throttle.begin(target, home).is_ok());
}

#[tokio::test(start_paused = true)]
async fn sec_17_nobody_pushes_the_places_of_an_owner_out_but_the_owner() {
    let throttle = Throttle::new(&AuthSettings::default());
    let (target, home) = (Target::login("alice"), address("192.0.2.7"));
    throttle.known(target, home);
    let own = Target::login("mallory");
    for number in 0..200_000_u32 {
        let [_, a, b, c] = number.to_be_bytes();
        throttle.known(own, Origin::V6([0x20, 1, 0xd, 0xb8, 0, a, b, c]));
    }
    for number in 0..200 {
        let (..) = guess(&throttle, target, numbered(number));
    }
    assert!(throttle.begin(target, numbered(9_999)).is_err(), "strangers are slowed down");
    let attempt = throttle.begin(target, home).expect("the owner at home is not");
    throttle.succeeded(attempt);

    for number in 0..15 {
        throttle.known(target, numbered(number));
    }
    assert!(throttle.begin(target, home).is_ok());
    throttle.known(target, numbered(15));
    assert!(throttle.begin(target, home).is_err(), "places that the owner left long ago are forgotten");
}

#[tokio::test(start_paused = true)]
async fn sec_17_networks_of_one_ipv6_network_fail_together_and_an_owner_there_does_not_pay() {
    let throttle = Throttle::new(&AuthSettings::default());
    let fail = |at: Origin, name: u32| {
        throttle.begin(Target::login(&name.to_string()), at).map(|attempt| throttle.failed(attempt))
    };
    let site = |number: u32| {
        let [.., a, b] = number.to_be_bytes();
        Origin::V6([0x20, 1, 0xd, 0xb8, 0, 0, a, b])
    };
    let (alice, home) = (Target::login("alice"), site(0xff_01));
    throttle.known(alice, home);
    let in_a_household = (0..10_000).filter(|number| fail(site(number % 256), *number).is_ok()).count();
    assert_eq!(in_a_household, 120);
    let in_the_site = (0..60_000).filter(|number| fail(site(*number), 10_000 + number).is_ok()).count();
    assert_eq!(in_a_household + in_the_site, 480);
    assert!(throttle.begin(Target::login("next"), site(0xff_02)).is_err());
    assert!(throttle.begin(alice, home).is_ok(), "the owner at home");
    assert!(throttle.begin(Target::login("next"), address("2001:db8:1::1")).is_ok(), "another site");
    let accounts = (0..60_000).filter(|number| throttle.register(site(*number)).is_ok()).count();
    assert_eq!(accounts, 60 * 16);
}

#[tokio::test(start_paused = true)]
async fn successes_and_cancelled_attempts_are_no_failures() {
    let throttle = Throttle::new(&AuthSettings::default());
    let (target, origin) = (Target::login("alice"), address("192.0.2.7"));
    for _ in 0..1_000 {
        let attempt = throttle.begin(target, origin).unwrap();
        throttle.cancelled(attempt);
    }
    for _ in 0..1_000 {
        let attempt = throttle.begin(target, origin).unwrap();
        throttle.succeeded(attempt);
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(guess(&throttle, target, origin).0, 5);
}

#[tokio::test(start_paused = true)]
async fn sec_18_successes_are_counted_by_address_and_by_account_and_only_by_owners() {
    let throttle = Throttle::new(&AuthSettings::default());
    let sign_in = |account: u32, origin: Origin| {
        throttle.begin(Target::login(&account.to_string()), origin).map(|attempt| throttle.succeeded(attempt))
    };
    let origin = address("192.0.2.7");
    assert_eq!((0..10_000).filter(|number| sign_in(number % 50, origin).is_ok()).count(), 240);
    assert!(sign_in(0, numbered(1)).is_ok(), "elsewhere the account is free");
    pass(Duration::from_secs(1)).await;
    assert_eq!((0..10).filter(|number| sign_in(*number, origin).is_ok()).count(), 4);

    assert_eq!((0..10_000).filter(|number| sign_in(77, numbered(*number)).is_ok()).count(), 60);
    assert_eq!(sign_in(77, Origin::Local), Err(Duration::from_secs(1)));
    assert!(sign_in(78, Origin::Local).is_ok());

    // Whoever does not know the password takes nothing from who does, nor do those at the same moment.
    let target = Target::login("79");
    throttle.known(target, numbered(7));
    let attempts: Vec<_> = (100..200).map(|number| throttle.begin(target, numbered(number))).collect();
    for attempt in attempts.iter().flatten() {
        throttle.failed(*attempt);
    }
    assert_eq!((0..100).filter(|_| sign_in(79, numbered(7)).is_ok()).count(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_success_ends_the_row_of_its_own_address_only() {
    let throttle = Throttle::new(&AuthSettings::default());
    let (target, home, elsewhere) = (Target::login("alice"), numbered(1), numbered(2));
    assert_eq!(guess(&throttle, target, elsewhere).0, 5);
    for _ in 0..4 {
        let attempt = throttle.begin(target, home).unwrap();
        throttle.failed(attempt);
    }
    let attempt = throttle.begin(target, home).unwrap();
    throttle.succeeded(attempt);
    assert_eq!(guess(&throttle, target, home).0, 5);
    assert!(throttle.begin(target, elsewhere).is_err());
}

#[tokio::test(start_paused = true)]
async fn registrations_are_sixty_a_minute_and_free_on_the_same_machine() {
    let throttle = Throttle::new(&AuthSettings::default());
    let origin = address("192.0.2.7");
    assert_eq!((0..1_000).filter(|_| throttle.register(origin).is_ok()).count(), 60);
    assert_eq!(throttle.register(origin).unwrap_err(), Duration::from_secs(1));
    pass(Duration::from_secs(1)).await;
    assert!(throttle.register(origin).is_ok());
    assert_eq!((0..1_000).filter(|_| throttle.register(Origin::Local).is_ok()).count(), 1_000);
    let off = Throttle::new(&AuthSettings { registrations_per_minute: 0, ..AuthSettings::default() });
    assert_eq!((0..1_000).filter(|_| off.register(origin).is_ok()).count(), 1_000);
}

#[test]
fn recent_maps_are_bounded_and_keep_what_is_used() {
    let mut map: RecentMap<u32, u32> = RecentMap::new(100);
    *map.entry(7) = 42;
    for key in 1_000..100_000 {
        map.entry(key);
        assert_eq!(*map.entry(7), 42);
        assert!(map.young.len() + map.old.len() <= 100);
    }
    map.remove(&7);
    assert!(map.get(&7).is_none());
    assert!(map.get(&99_999).is_some());
    assert!(map.get(&1_000).is_none());
}

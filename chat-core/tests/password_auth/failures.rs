//! Whatever fails behind the door, the door stays shut.

use std::sync::Arc;
use std::time::Duration;

use chat_core::auth::PasswordAuth;
use chat_core::error::AuthError;
use chat_core::memory::MemoryStore;
use chat_core::port::{AccountStore as _, Auth, Grant, Session, StoredAccount};
use chat_testkit::double::{Fault, Faults, FaultyAccountStore, Gate};
use futures::future::BoxFuture;
use secrecy::ExposeSecret;

use crate::fixture::{PASSWORD, clock, from, local, login, register, secret, settings};

struct Scene {
    store: Arc<MemoryStore>,
    faults: Faults,
    auth: PasswordAuth,
    grant: Grant,
    other: Grant,
}

impl Scene {
    async fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let faulty = FaultyAccountStore::new(store.clone());
        let faults = faulty.faults();
        let auth = PasswordAuth::new(Arc::new(faulty), clock(), settings()).unwrap();
        register(&auth, "alice", PASSWORD).await.unwrap();
        let grant = login(&auth, "alice", PASSWORD, &local()).await.unwrap();
        let other = login(&auth, "alice", PASSWORD, &local()).await.unwrap();
        Self { store, faults, auth, grant, other }
    }

    /// What is stored, but for notes of when somebody was there.
    async fn stored(&self) -> (Vec<StoredAccount>, Vec<Session>) {
        let mut accounts = self.store.all_accounts(None, 10).await.unwrap();
        let mut sessions = Vec::new();
        for stored in &mut accounts {
            stored.account.last_login = None;
            sessions.extend(self.store.sessions_of(stored.account.user_id).await.unwrap());
        }
        (accounts, sessions)
    }
}

/// The methods on which the door depends.
const METHODS: [&str; 12] = [
    "account",
    "account_by_name",
    "create_account",
    "create_session",
    "end_sessions",
    "record_login",
    "rotate_session",
    "session_by_access",
    "session_by_refresh",
    "sessions_of",
    "set_password",
    "was_ended",
];

type Operation = for<'a> fn(&'a Scene) -> BoxFuture<'a, Result<(), AuthError>>;

const OPERATIONS: [(&str, Operation); 8] = [
    ("register", |scene| Box::pin(async { register(&scene.auth, "bob", PASSWORD).await.map(drop) })),
    ("login", |scene| Box::pin(async { login(&scene.auth, "alice", PASSWORD, &local()).await.map(drop) })),
    ("login, wrong", |scene| {
        Box::pin(async { login(&scene.auth, "alice", "wrong", &local()).await.map(drop) })
    }),
    ("authenticate", |scene| {
        Box::pin(async {
            scene.auth.authenticate(scene.grant.token.expose_secret(), &local()).await.map(drop)
        })
    }),
    ("authenticate, unknown", |scene| {
        let token = format!("ca_{}", "A".repeat(43));
        Box::pin(async move { scene.auth.authenticate(&token, &local()).await.map(drop) })
    }),
    ("refresh", |scene| {
        Box::pin(async { scene.auth.refresh(&scene.grant.refresh_token, &local()).await.map(drop) })
    }),
    ("end_session", |scene| {
        let identity = &scene.other.identity;
        Box::pin(scene.auth.end_session(identity.user_id, identity.session_id))
    }),
    ("change_password", |scene| {
        let identity = &scene.grant.identity;
        let (old, new) = (secret(PASSWORD), secret("battery staple"));
        let change = scene.auth.change_password(identity.user_id, identity.session_id, old, new);
        Box::pin(async { change.await.map(drop) })
    }),
];

/// Runs the operation; a store that hangs is given up as the engine does, which denies.
async fn attempt(scene: &Scene, operation: Operation) -> Option<Result<(), AuthError>> {
    tokio::time::timeout(Duration::from_secs(60), operation(scene)).await.ok()
}

/// The methods that the operation calls when nothing fails.
async fn methods_of(operation: Operation) -> Vec<&'static str> {
    let scene = Scene::new().await;
    let calls = || METHODS.map(|method| scene.faults.calls(method));
    let before = calls();
    let _outcome = attempt(&scene, operation).await;
    let after = calls();
    (0..METHODS.len()).filter(|index| after[*index] > before[*index]).map(|index| METHODS[index]).collect()
}

#[tokio::test(start_paused = true)]
async fn sec_23_every_failure_of_the_store_denies() {
    let hang = Fault::HeldBefore(Gate::closed());
    let faults = [Fault::Unavailable, Fault::Lost, Fault::AnswerLost, Fault::Corrupt, hang];
    let mut tried = 0;
    for (name, operation) in OPERATIONS {
        for method in methods_of(operation).await {
            for fault in &faults {
                let scene = Scene::new().await;
                scene.faults.always(method, fault.clone());
                match attempt(&scene, operation).await {
                    None => assert!(matches!(fault, Fault::HeldBefore(_)), "{name} when {method} fails"),
                    Some(Ok(())) => panic!("{name} succeeds although {method} failed: {fault:?}"),
                    Some(Err(AuthError::Unavailable(_) | AuthError::Timeout(_) | AuthError::Internal(_))) => {
                    }
                    Some(Err(other)) => panic!("{name} when {method} fails ({fault:?}): {other}"),
                }
                tried += 1;
            }
        }
    }
    assert!(tried >= 100, "{tried}");
}

/// `Unavailable` is a promise to clients. Calls fail one by one, also the second of a method.
#[tokio::test(start_paused = true)]
async fn what_may_have_been_stored_is_never_said_to_be_undone() {
    let (mut undone, mut unknown) = (0, 0);
    for (name, operation) in OPERATIONS {
        for method in methods_of(operation).await {
            for fault in [Fault::Unavailable, Fault::Lost, Fault::AnswerLost] {
                for spared in [0, 1] {
                    let scene = Scene::new().await;
                    let before = scene.stored().await;
                    let spare = std::iter::repeat_n(Fault::None, spared);
                    scene.faults.next(method, spare.chain([fault.clone()]));
                    let what = format!("{name} when call {spared} of {method} fails: {fault:?}");
                    let is_untold = !matches!(fault, Fault::Unavailable);
                    match attempt(&scene, operation).await.expect("nothing hangs") {
                        Err(AuthError::Unavailable(_)) => {
                            assert!(!is_untold, "{what}");
                            assert_eq!(scene.stored().await, before, "{what}");
                            undone += 1;
                        }
                        Err(AuthError::Timeout(_)) => unknown += 1,
                        // It had no second call.
                        answer => assert_eq!(spared, 1, "{what}: {answer:?}"),
                    }
                }
            }
        }
    }
    assert!(undone >= 15 && unknown >= 40, "{undone} undone, {unknown} unknown");
}

#[tokio::test(start_paused = true)]
async fn sec_23_a_failed_login_leaves_no_way_in_and_the_next_one_works() {
    for method in ["account_by_name", "record_login", "create_session", "sessions_of", "account"] {
        let scene = Scene::new().await;
        scene.faults.always(method, Fault::Unavailable);
        for _ in 0..10 {
            assert!(login(&scene.auth, "alice", PASSWORD, &from("192.0.2.7")).await.is_err());
        }
        scene.faults.heal();
        // Failures of the store are nobody's wrong guesses.
        login(&scene.auth, "alice", PASSWORD, &from("192.0.2.7")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn sec_15_a_failing_store_answers_no_earlier_than_a_wrong_password() {
    let scene = Scene::new().await;
    scene.faults.always("account_by_name", Fault::Unavailable);
    let arrived = tokio::time::Instant::now();
    assert!(matches!(login(&scene.auth, "alice", PASSWORD, &local()).await, Err(AuthError::Unavailable(_))));
    assert_eq!(arrived.elapsed(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn sec_25_a_refresh_whose_outcome_was_unknown_can_be_repeated() {
    for fault in [Fault::Lost, Fault::AnswerLost] {
        let scene = Scene::new().await;
        scene.faults.next("rotate_session", [fault]);
        assert!(scene.auth.refresh(&scene.grant.refresh_token, &local()).await.is_err());
        let next = scene.auth.refresh(&scene.grant.refresh_token, &local()).await.unwrap();
        scene.auth.authenticate(next.token.expose_secret(), &local()).await.unwrap();
    }
}

/// What another node does between two steps of a login.
#[tokio::test(start_paused = true)]
async fn sec_23_an_account_disabled_in_the_middle_of_a_login_stays_out() {
    for method in ["record_login", "create_session", "sessions_of"] {
        let scene = Scene::new().await;
        let (gate, user) = (Gate::closed(), scene.grant.identity.user_id);
        scene.faults.next(method, [Fault::HeldBefore(gate.clone())]);
        let disable = async {
            gate.reached(1).await;
            scene.auth.set_disabled(user, true).await.unwrap();
            gate.open();
        };
        let client = local();
        let (login, ()) = tokio::join!(login(&scene.auth, "alice", PASSWORD, &client), disable);
        assert!(matches!(login, Err(AuthError::InvalidCredentials)), "{method}");
        assert_eq!(scene.auth.sessions(user).await.unwrap(), [], "{method}");
    }
}

#[tokio::test(start_paused = true)]
async fn sec_25_the_slower_of_two_refreshes_gets_what_the_faster_one_made() {
    let scene = Scene::new().await;
    let (gate, client) = (Gate::closed(), local());
    scene.faults.next("rotate_session", [Fault::HeldBefore(gate.clone())]);
    let faster = async {
        gate.reached(1).await;
        let grant = scene.auth.refresh(&scene.grant.refresh_token, &client).await.unwrap();
        gate.open();
        grant
    };
    let (slower, faster) = tokio::join!(scene.auth.refresh(&scene.grant.refresh_token, &client), faster);
    assert_eq!(slower.unwrap().token.expose_secret(), faster.token.expose_secret());
    scene.auth.authenticate(faster.token.expose_secret(), &client).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn sec_21_a_password_change_that_fails_changes_nothing() {
    for method in ["account", "sessions_of", "end_sessions", "set_password"] {
        let scene = Scene::new().await;
        let identity = &scene.grant.identity;
        scene.faults.always(method, Fault::Unavailable);
        let (old, new) = (secret(PASSWORD), secret("battery staple"));
        assert!(scene.auth.change_password(identity.user_id, identity.session_id, old, new).await.is_err());
        scene.faults.heal();
        login(&scene.auth, "alice", PASSWORD, &local()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_only_reads_still_lets_people_in() {
    let scene = Scene::new().await;
    scene.faults.always("touch_session", Fault::Unavailable);
    tokio::time::advance(Duration::from_secs(120)).await;
    scene.auth.authenticate(scene.grant.token.expose_secret(), &local()).await.unwrap();
    assert_eq!(scene.faults.calls("touch_session"), 1);
}

//! The doubles do what a test tells them.

use std::sync::Arc;
use std::time::Duration;

use chat_core::error::{AuthError, Retry, StoreError};
use chat_core::id::{ConversationId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{AccountStore, Auth, ClientContext, Credentials, RoomStore};
use chat_core::time::Clock;
use chat_testkit::double::{FakeAuth, Fault, FaultyAccountStore, FaultyRoomStore, Gate, ManualClock};

fn retry<T>(outcome: Result<T, StoreError>) -> Option<Retry> {
    outcome.err().map(|error| error.retry())
}

#[tokio::test]
async fn faults_happen_in_their_order_and_then_no_more() {
    let store = FaultyRoomStore::new(Arc::new(MemoryStore::new()));
    let faults = store.faults();
    faults.next("epoch", [Fault::Unavailable, Fault::None, Fault::Lost, Fault::Corrupt]);
    let mut outcomes = Vec::new();
    for _ in 0..5 {
        outcomes.push(retry(store.epoch().await));
    }
    let expected = [Some(Retry::Safe), None, Some(Retry::OutcomeUnknown), Some(Retry::Never), None];
    assert_eq!(outcomes, expected);
    assert_eq!(faults.calls("epoch"), 5);

    faults.all(&Fault::Unavailable);
    assert_eq!(retry(store.room_count(UserId::generate()).await), Some(Retry::Safe));
    faults.heal();
    assert_eq!(retry(store.room_count(UserId::generate()).await), None);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write() {
    let store = FaultyAccountStore::new(Arc::new(MemoryStore::new()));
    store.faults().next("set_disabled", [Fault::AnswerLost]);
    assert_eq!(retry(store.set_disabled(UserId::generate(), true).await), Some(Retry::OutcomeUnknown));
    assert_eq!(store.faults().calls("set_disabled"), 1);
}

#[tokio::test]
async fn a_gate_holds_calls_until_it_opens() {
    let store = Arc::new(FaultyRoomStore::new(Arc::new(MemoryStore::new())));
    let gate = Gate::closed();
    store.faults().next("conversation", [Fault::HeldBefore(gate.clone()), Fault::HeldAfter(gate.clone())]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let store = Arc::clone(&store);
        calls.spawn(async move { store.conversation(ConversationId::generate()).await.is_ok() });
    }
    gate.reached(2).await;
    assert!(calls.try_join_next().is_none(), "both wait");
    gate.open();
    assert_eq!(calls.join_all().await, [true, true]);
}

#[test]
#[should_panic(expected = "no method apend")]
fn a_misspelt_method_is_noticed() {
    FaultyRoomStore::new(Arc::new(MemoryStore::new())).faults().next("apend", [Fault::Lost]);
}

#[test]
fn a_manual_clock_moves_when_told() {
    let clock = ManualClock::default();
    let before = clock.now();
    let same = clock.clone();
    same.advance(Duration::from_secs(90));
    assert_eq!(clock.now().since(before), Duration::from_secs(90), "clones show the same time");
}

#[tokio::test]
async fn tokens_of_the_fake_auth_end_by_its_clock() {
    let clock = ManualClock::default();
    let auth = FakeAuth::new(Arc::new(clock.clone()));
    let client = ClientContext::default();
    let alice = auth.add_user("Alice");
    let token = auth.sign_in(alice);
    let identity = auth.authenticate(&token, &client).await.unwrap();
    assert_eq!((identity.user_id, identity.username.as_str()), (alice, "Alice"));
    clock.advance(Duration::from_secs(60 * 60));
    let error = auth.authenticate(&token, &client).await.unwrap_err();
    assert!(matches!(error, AuthError::ExpiredToken));

    let credentials = Credentials { username: "ALICE".to_owned(), password: "password".into() };
    let grant = auth.login(credentials, &client).await.unwrap();
    let renewed = auth.refresh(&grant.refresh_token, &client).await.unwrap();
    assert_eq!(renewed.identity.session_id, grant.identity.session_id);
    let since = clock.now();
    auth.end_elsewhere(grant.identity.session_id);
    assert_eq!(auth.ended_since(since).await.unwrap(), [(alice, grant.identity.session_id)]);
}

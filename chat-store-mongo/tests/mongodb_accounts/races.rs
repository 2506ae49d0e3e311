//! Several nodes on one database: sessions that are rotated, ended and removed at the same moment.

use std::collections::BTreeSet;

use chat_core::port::{AccountStore, Rotation, Session, SessionMatch};
use tokio::task::JoinSet;

use super::rows::{DAY, at, session, tokens, user};
use crate::support::TestDatabase;

const ROUNDS: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_nodes_that_end_sessions_each_answers_its_own() {
    let test = TestDatabase::new().await;
    let nodes = [test.open().await, test.open().await];
    let mut all = Vec::new();
    for _ in 0..30 {
        let session = session(user(), at(0));
        nodes[0].create_session(session.clone()).await.unwrap();
        all.push(session);
    }
    let mut calls = JoinSet::new();
    for number in 0..8 {
        let node = nodes[number % 2].clone();
        // They overlap, and come in another order.
        let mut ids: Vec<_> = all.iter().skip(number * 2).map(|session| session.session_id).collect();
        if number % 2 == 1 {
            ids.reverse();
        }
        calls.spawn(async move { node.end_sessions(ids, at(number as u64)).await.unwrap() });
    }
    let mut answered = calls.join_all().await.concat();
    answered.sort_by_key(|one| one.session_id);
    let mut expected: Vec<_> = all.iter().map(|session| session.session_id).collect();
    expected.sort_unstable();
    assert_eq!(answered.iter().map(|one| one.session_id).collect::<Vec<_>>(), expected, "each by one call");
    let mut listed = nodes[1].revocations_since(at(0)).await.unwrap();
    listed.sort_by_key(|one| one.session_id);
    assert_eq!(listed, answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_while_it_is_rotated_is_over_with_its_last_tokens() {
    let test = TestDatabase::new().await;
    let nodes = [test.open().await, test.open().await];
    let mut outcomes = BTreeSet::new();
    for round in 0..ROUNDS {
        let old = session(user(), at(0));
        nodes[0].create_session(old.clone()).await.unwrap();
        let new = tokens(at(60));
        let (rotation, ended) =
            tokio::join!(nodes[0].rotate_session(old.session_id, old.tokens.refresh, new), async {
                // A rotation begins with a read, so its write comes a little later than this one otherwise.
                for _ in 0..round % 6 {
                    nodes[1].account(user()).await.unwrap();
                }
                nodes[1].end_sessions(vec![old.session_id], at(61)).await
            });
        let rotation = rotation.unwrap();
        assert_eq!(ended.unwrap().len(), 1);
        outcomes.insert(rotation == Rotation::Done);
        let last = if rotation == Rotation::Done { new } else { old.tokens };
        for token in [last.access, last.refresh] {
            assert!(nodes[0].was_ended(token).await.unwrap(), "after {rotation:?}");
        }
        for held in [old.tokens, new] {
            assert_eq!(nodes[0].session_by_access(held.access).await.unwrap(), None);
            assert_eq!(nodes[0].session_by_refresh(held.refresh).await.unwrap(), None);
        }
    }
    assert_eq!(outcomes.len(), 2, "both came first at times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refresh_token_is_found_at_any_instant() {
    let test = TestDatabase::new().await;
    let nodes = [test.open().await, test.open().await];
    let first = session(user(), at(0));
    nodes[0].create_session(first.clone()).await.unwrap();
    let (known, mut latest) = tokio::sync::watch::channel(first.tokens.refresh);
    let rotating = nodes[0].clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        for number in 1..=100 {
            let (new, present) = (tokens(at(number)), *known.borrow());
            let rotation = rotating.rotate_session(first.session_id, present, new).await.unwrap();
            assert_eq!(rotation, Rotation::Done);
            known.send_replace(new.refresh);
        }
    });
    for _ in 0..2 {
        let (node, mut latest) = (nodes[1].clone(), latest.clone());
        tasks.spawn(async move {
            // Whoever follows the tokens asks for each while it moves on.
            while latest.has_changed().is_ok() {
                let token = *latest.borrow_and_update();
                for _ in 0..3 {
                    assert!(node.session_by_refresh(token).await.unwrap().is_some(), "it was lost");
                }
                let oldest = node.session_by_refresh(first.tokens.refresh).await.unwrap();
                assert!(oldest.is_some(), "the oldest was lost");
            }
        });
    }
    drop(tasks.join_all().await);
    let last = *latest.borrow_and_update();
    let found = nodes[1].session_by_refresh(last).await.unwrap();
    assert!(matches!(found, Some(SessionMatch::Current(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_is_rotated_while_it_is_removed_is_whole_or_gone() {
    let test = TestDatabase::new().await;
    let nodes = [test.open().await, test.open().await];
    let mut outcomes = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut current: Session = session(user(), at(0));
        nodes[0].create_session(current.clone()).await.unwrap();
        let mut held = vec![current.tokens.refresh];
        for number in 1..=3 {
            let new = tokens(at(number));
            let expected = current.tokens.refresh;
            nodes[0].rotate_session(current.session_id, expected, new).await.unwrap();
            current.tokens = new;
            held.push(new.refresh);
        }
        // The refresh token is over, the session is not.
        let now = at(60).plus(DAY * 8);
        let new = tokens(now);
        let (rotation, removal) =
            tokio::join!(nodes[0].rotate_session(current.session_id, current.tokens.refresh, new), async {
                for _ in 0..round % 6 {
                    nodes[1].account(user()).await.unwrap();
                }
                nodes[1].remove_expired(now).await
            });
        removal.unwrap();
        let is_done = rotation.unwrap() == Rotation::Done;
        outcomes.insert(is_done);
        for token in held {
            let found = nodes[1].session_by_refresh(token).await.unwrap();
            assert_eq!(found.is_some(), is_done, "a session goes on with all of its tokens or with none");
        }
        assert_eq!(nodes[1].session_by_access(new.access).await.unwrap().is_some(), is_done);
        nodes[1].end_sessions(vec![current.session_id], now).await.unwrap();
    }
    assert_eq!(outcomes.len(), 2, "both came first at times");
}

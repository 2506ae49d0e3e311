//! The two traps: each scenario is run by the store, which passes, and by a store that makes the mistake, which the
//! scenario finds out.

use std::time::Duration;

use chat_core::id::ConversationId;
use chat_testkit::mongod::ReplicaSet;
use mongodb::Client;
use tokio::time::Instant;

use crate::naive::Appender;
use crate::workload::{PATIENCE, draft, numbers, open, room, rows_of};

const DATABASE: &str = "chat";

/// Sends a draft until it is acknowledged.
async fn append_until_acknowledged(by: &Appender, to: ConversationId, draft: &chat_core::domain::Draft) {
    let began = Instant::now();
    loop {
        if let Ok(head) = by.head(DATABASE, to).await
            && by.append(DATABASE, to, head, draft).await
        {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "never acknowledged");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The primary is cut off and does not know it yet. One writer appends there; another one numbers after what it finds,
/// and appends when there is a new primary. Answers the numbers of the log in the end.
async fn log_after_a_write_to_a_lost_primary(make: impl AsyncFn(&ReplicaSet) -> Appender) -> Vec<i64> {
    let set = ReplicaSet::start().await;
    let store = open(&set.uri(), DATABASE).await;
    let room = room(&store).await;
    let (first, second) = (make(&set).await, make(&set).await);
    let primary = set.primary().await;
    set.partition(primary);

    let head = first.head(DATABASE, room).await;
    let lost = draft("on a primary without the others");
    // Whoever goes on trying may reach the next primary in time.
    let is_acknowledged = match head {
        Ok(head) => first.append(DATABASE, room, head, &lost).await,
        Err(_) => false,
    };
    // The second writer looks while the lost primary still answers.
    let found = second.head(DATABASE, room).await;
    let new_primary = wait_for_another_primary(&set, primary).await;
    assert_ne!(new_primary, primary);
    let kept = draft("on the new primary");
    if let Ok(head) = found {
        second.append(DATABASE, room, head, &kept).await;
    }
    set.heal();
    set.wait_until_all_follow().await;
    let rows = rows_of(&set.uri(), DATABASE, room).await;
    let id = mongodb::bson::oid::ObjectId::from_bytes(*lost.id.as_bytes());
    let is_stored = rows.iter().any(|row| row.get_object_id("_id").is_ok_and(|found| found == id));
    assert!(is_stored || !is_acknowledged, "what was acknowledged is lost");
    numbers(&rows)
}

async fn wait_for_another_primary(set: &ReplicaSet, old: usize) -> usize {
    let began = Instant::now();
    loop {
        let primary = set.primary().await;
        if primary != old {
            return primary;
        }
        assert!(began.elapsed() < PATIENCE, "no other primary was elected");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_log_has_no_hole_after_a_write_to_a_lost_primary() {
    let log = log_after_a_write_to_a_lost_primary(async |set: &ReplicaSet| {
        Appender::Store(open(&set.uri(), DATABASE).await)
    })
    .await;
    let dense: Vec<i64> = (1..).take(log.len()).collect();
    assert_eq!(log, dense);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbering_on_local_reads_leaves_a_hole_in_mongodb() {
    let log = log_after_a_write_to_a_lost_primary(async |set: &ReplicaSet| {
        Appender::NumbersOnLocalReads(Client::with_uri_str(set.uri()).await.unwrap())
    })
    .await;
    assert_eq!(log, [1, 3], "the mistake that the scenario is there to find");
}

/// A draft is sent while nobody follows the primary, and sent again. Then the primary goes, and another one comes that
/// never had it. Answers whether the draft was acknowledged, and whether it is in the log in the end.
async fn sent_again_without_a_majority(make: impl AsyncFn(&ReplicaSet) -> Appender) -> (bool, bool) {
    let set = ReplicaSet::start().await;
    let store = open(&set.uri(), DATABASE).await;
    let room = room(&store).await;
    let by = make(&set).await;
    let head = by.head(DATABASE, room).await.expect("all is well");
    let primary = set.primary().await;
    let others: Vec<usize> = (0..3).filter(|member| *member != primary).collect();
    for other in &others {
        set.stop_replication(*other).await;
    }
    let sent = draft("sent twice");
    let mut is_acknowledged = by.append(DATABASE, room, head, &sent).await;
    is_acknowledged |= by.append(DATABASE, room, head, &sent).await;
    set.kill(primary);
    for other in &others {
        set.start_replication(*other).await;
    }
    wait_for_another_primary(&set, primary).await;
    set.restart(primary).await;
    set.wait_until_all_follow().await;
    let is_sent = |rows: Vec<mongodb::bson::Document>| {
        let id = mongodb::bson::oid::ObjectId::from_bytes(*sent.id.as_bytes());
        rows.iter().filter(|row| row.get_object_id("_id").is_ok_and(|found| found == id)).count()
    };
    let is_stored = is_sent(rows_of(&set.uri(), DATABASE, room).await) == 1;
    if matches!(by, Appender::Store(_)) {
        append_until_acknowledged(&by, room, &sent).await;
        let rows = rows_of(&set.uri(), DATABASE, room).await;
        assert_eq!(numbers(&rows), [1, 2], "sent once more it is there once");
        assert_eq!(is_sent(rows), 1);
    }
    (is_acknowledged, is_stored)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_exists_without_a_majority_is_not_acknowledged_by_mongodb() {
    let (is_acknowledged, _) = sent_again_without_a_majority(async |set: &ReplicaSet| {
        Appender::Store(open(&set.uri(), DATABASE).await)
    })
    .await;
    assert!(!is_acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn taking_duplicates_for_durable_loses_acknowledged_entries_in_mongodb() {
    let (is_acknowledged, is_stored) = sent_again_without_a_majority(async |set: &ReplicaSet| {
        Appender::TrustsDuplicates(Client::with_uri_str(set.uri()).await.unwrap())
    })
    .await;
    assert_eq!((is_acknowledged, is_stored), (true, false), "the mistake that the scenario is there to find");
}

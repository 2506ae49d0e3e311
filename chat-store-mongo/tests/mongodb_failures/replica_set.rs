//! Three servers: the primary killed, paused, told to step down, cut off from the others or from us.

use std::time::Duration;

use chat_testkit::mongod::ReplicaSet;
use tokio::time::Instant;

use crate::workload::{Writers, check, open, room};

const DATABASE: &str = "chat";

/// Entries to wait for before and after each fault.
const SOME: usize = 60;

/// Runs `faults` on a set while two stores write to three rooms, and checks what is left of it.
async fn while_messages_flow(faults: impl AsyncFnOnce(&ReplicaSet, &Writers)) {
    let set = ReplicaSet::start().await;
    let stores = [open(&set.uri(), DATABASE).await, open(&set.uri(), DATABASE).await];
    let rooms = [room(&stores[0]).await, room(&stores[0]).await, room(&stores[1]).await];
    let writers = Writers::start(&stores, &rooms);
    writers.progress(SOME).await;
    let began = Instant::now();
    faults(&set, &writers).await;
    let recovered = writers.progress(SOME).await;
    let seen = writers.finish().await;
    println!(
        "after {:?} of faults acknowledged again within {recovered:?}: {}",
        began.elapsed() - recovered,
        seen.summary()
    );
    check(&set.uri(), DATABASE, &rooms, &seen).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_primary_that_is_killed_loses_nothing_that_was_acknowledged() {
    while_messages_flow(async |set, writers| {
        let primary = set.primary().await;
        let began = Instant::now();
        set.kill(primary);
        writers.progress(SOME).await;
        println!("kill -9 of the primary: {SOME} more entries acknowledged after {:?}", began.elapsed());
        set.restart(primary).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_primary_that_is_paused_loses_nothing_that_was_acknowledged() {
    while_messages_flow(async |set, writers| {
        let primary = set.primary().await;
        set.pause(primary);
        writers.progress(SOME).await;
        set.resume(primary);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_primary_that_steps_down_loses_nothing_that_was_acknowledged() {
    while_messages_flow(async |set, writers| {
        for _ in 0..2 {
            set.step_down().await;
            writers.progress(SOME).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_primary_cut_off_from_the_others_loses_nothing_that_was_acknowledged() {
    while_messages_flow(async |set, writers| {
        let primary = set.primary().await;
        set.partition(primary);
        writers.progress(SOME).await;
        set.heal();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mongodb_primary_cut_off_from_its_clients_is_waited_for() {
    while_messages_flow(async |set, writers| {
        let primary = set.primary().await;
        writers.progress(SOME).await;
        set.partition_from_clients(primary);
        tokio::time::sleep(Duration::from_secs(3)).await;
        set.heal();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mongodb_secondaries_that_do_not_follow_stop_acknowledgements_and_nothing_else() {
    while_messages_flow(async |set, _| {
        let primary = set.primary().await;
        let others: Vec<usize> = (0..3).filter(|member| *member != primary).collect();
        for other in &others {
            set.stop_replication(*other).await;
        }
        tokio::time::sleep(Duration::from_secs(4)).await;
        for other in &others {
            set.start_replication(*other).await;
        }
    })
    .await;
}

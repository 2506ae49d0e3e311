//! What goes on as long as the engine does: presence that settles, tokens that end,
//! sessions that were ended elsewhere, and memory that nobody needs any more.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::engine::Engine;
use super::reconcile;
use crate::domain::Status;
use crate::id::{SessionId, UserId};
use crate::time::Timestamp;

const CONNECTIONS_EVERY: Duration = Duration::from_secs(1);
const REVOCATIONS_EVERY: Duration = Duration::from_secs(2);
/// Revocations are read again for so long: clocks of nodes differ, and writes commit late.
const REVOCATIONS_OVERLAP: Duration = Duration::from_secs(60);
const CLEANUP_EVERY: Duration = Duration::from_secs(30);
const USED_SESSIONS_EVERY: Duration = Duration::from_secs(300);
const LAST_SEEN_EVERY: Duration = Duration::from_secs(60);

/// Starts what goes on in the background. It ends with the engine.
pub(super) fn start(engine: &Arc<Engine>) {
    every(engine, engine.limits.presence_gather.max(Duration::from_millis(50)), |engine| {
        settle_presence(engine).boxed()
    });
    every(engine, CONNECTIONS_EVERY, |engine| tick_connections(engine).boxed());
    every(engine, reconcile::DOUBTFUL_EVERY, |engine| reconcile::compare_doubtful(engine).boxed());
    every(engine, reconcile::HEADS_EVERY, |engine| reconcile::compare_heads(engine).boxed());
    engine.background.spawn(reconcile::keep_memberships(Arc::downgrade(engine)));
    every(engine, CLEANUP_EVERY, |engine| clean_up(engine).boxed());
    every(engine, USED_SESSIONS_EVERY, |engine| record_used_sessions(engine).boxed());
    every(engine, LAST_SEEN_EVERY, |engine| record_connected(engine).boxed());
    let mut since = engine.clock.now();
    let closing = engine.closing.clone();
    let weak = Arc::downgrade(engine);
    engine.background.spawn(async move {
        while tick(&closing, REVOCATIONS_EVERY).await {
            let Some(engine) = weak.upgrade() else { return };
            let now = engine.clock.now();
            if survives(end_revoked(&engine, since.minus(REVOCATIONS_OVERLAP))).await == Some(true) {
                since = now;
            }
        }
    });
}

/// Runs `work` every `period` until the engine closes or is dropped.
fn every(engine: &Arc<Engine>, period: Duration, work: fn(Arc<Engine>) -> BoxFuture<'static, ()>) {
    let weak: Weak<Engine> = Arc::downgrade(engine);
    let closing = engine.closing.clone();
    engine.background.spawn(async move {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = closing.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let Some(engine) = weak.upgrade() else { return };
            survives(work(engine)).await;
        }
    });
}

/// What an application brings may panic: then this round is over, and the next one comes.
pub(super) async fn survives<T>(work: impl Future<Output = T>) -> Option<T> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.inspect_err(|_panic| tracing::error!("background work panicked")).ok()
}

async fn settle_presence(engine: Arc<Engine>) {
    let seen = engine.hub.tick(engine.clock.now());
    // Presence does not wait for the accounts.
    if !seen.is_empty() {
        let recording = engine.clone();
        engine.background.spawn(async move { record_seen(&recording, seen).await });
    }
}

async fn tick_connections(engine: Arc<Engine>) {
    let now = engine.clock.now();
    for connection in engine.connections() {
        connection.tick(&engine, now);
    }
}

async fn clean_up(engine: Arc<Engine>) {
    engine.forget_idle_conversations();
    engine.forget_recovered_rates();
}

async fn record_connected(engine: Arc<Engine>) {
    let now = engine.clock.now();
    let users = engine.hub.connected_users();
    let statuses = engine.hub.statuses(users.clone());
    // Whoever wants to look offline was last seen when they began to.
    let shown = users.into_iter().zip(statuses).filter(|(_, status)| *status != Status::Offline);
    let seen = shown.map(|(user, _)| (user, now)).collect();
    record_seen(&engine, seen).await;
}

async fn record_used_sessions(engine: Arc<Engine>) {
    let callers = engine.connections().into_iter().filter_map(|connection| connection.caller());
    let sessions: BTreeSet<SessionId> = callers.map(|caller| caller.session_id).collect();
    if sessions.is_empty() {
        return;
    }
    // Losing it is harmless, and a failing store is noticed by whoever needs it.
    let _ = engine.change(engine.auth.record_used(sessions.into_iter().collect(), engine.clock.now())).await;
}

/// Waits; answers whether the engine goes on.
async fn tick(closing: &CancellationToken, period: Duration) -> bool {
    tokio::select! {
        () = closing.cancelled() => false,
        () = tokio::time::sleep(period) => true,
    }
}

/// Closes the connections of sessions that ended. Answers whether it could ask.
async fn end_revoked(engine: &Engine, since: Timestamp) -> bool {
    let Ok(ended) = engine.ask(engine.auth.ended_since(since)).await else { return false };
    for (user, session) in ended {
        engine.end(user, Some(session), None);
    }
    true
}

async fn record_seen(engine: &Engine, seen: Vec<(UserId, Timestamp)>) {
    if seen.is_empty() {
        return;
    }
    // Losing it is harmless, and it was logged why.
    let _ = engine.change(engine.auth.record_seen(seen)).await;
}

//! An engine that does what the test says; by itself it answers each frame with the
//! same text.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use chat_core::hub::{ConnectionId, DisconnectReason, Frame};
use tokio::sync::Notify;

use crate::session::{Frames, Requests};

/// The test's hand on one session.
#[derive(Clone)]
pub(super) struct Engine(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    room: Notify,
    heard: Notify,
}

#[derive(Default)]
struct State {
    heard: Vec<String>,
    queue: VecDeque<Frame>,
    ended: Option<DisconnectReason>,
    authenticated: bool,
    full: bool,
}

pub(super) struct Taker(Engine);
pub(super) struct Giver(Engine);

impl Engine {
    pub(super) fn new() -> Self {
        Self(Arc::new(Shared {
            state: Mutex::default(),
            changed: Notify::new(),
            room: Notify::new(),
            heard: Notify::new(),
        }))
    }

    pub(super) fn session(&self) -> (Taker, Giver) {
        (Taker(self.clone()), Giver(self.clone()))
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.0.state.lock().unwrap());
        self.0.changed.notify_one();
        answer
    }

    pub(super) fn give(&self, text: impl Into<String>) {
        self.with(|state| state.queue.push_back(Frame::new(text.into())));
    }

    pub(super) fn end(&self, reason: DisconnectReason) {
        self.with(|state| _ = state.ended.get_or_insert(reason));
    }

    pub(super) fn ended(&self) -> Option<DisconnectReason> {
        self.with(|state| state.ended)
    }

    pub(super) fn set_authenticated(&self, authenticated: bool) {
        self.with(|state| state.authenticated = authenticated);
        self.give("authentication changed");
    }

    pub(super) fn set_full(&self, full: bool) {
        self.with(|state| state.full = full);
        self.0.room.notify_one();
    }

    pub(super) fn queued(&self) -> usize {
        self.with(|state| state.queue.len())
    }

    pub(super) fn heard(&self) -> Vec<String> {
        self.with(|state| state.heard.clone())
    }

    /// Waits until `count` frames were taken.
    pub(super) async fn hear(&self, count: usize) -> Vec<String> {
        loop {
            let heard = self.heard();
            if heard.len() >= count {
                return heard;
            }
            self.0.heard.notified().await;
        }
    }
}

impl Requests for Taker {
    fn id(&self) -> ConnectionId {
        ConnectionId::next()
    }

    fn accept(&mut self, text: &str) {
        assert!(text != "panic", "as the test wants it");
        self.0.with(|state| {
            state.heard.push(text.to_owned());
            state.queue.push_back(Frame::new(text.to_owned()));
        });
        self.0.0.heard.notify_one();
    }

    fn has_room(&self) -> bool {
        self.0.with(|state| !state.full)
    }

    async fn room(&self) {
        while !self.has_room() {
            self.0.0.room.notified().await;
        }
    }

    fn is_authenticated(&self) -> bool {
        self.0.0.state.lock().unwrap().authenticated
    }

    fn disconnect(&self, reason: DisconnectReason) {
        self.0.end(reason);
    }
}

impl Frames for Giver {
    async fn frames(&mut self, batch: &mut Vec<Frame>, max_bytes: usize) -> Result<(), DisconnectReason> {
        loop {
            let ended = {
                let mut state = self.0.0.state.lock().unwrap();
                let mut bytes = 0;
                while bytes < max_bytes
                    && let Some(frame) = state.queue.pop_front()
                {
                    bytes += frame.len();
                    batch.push(frame);
                }
                if !batch.is_empty() {
                    return Ok(());
                }
                state.ended
            };
            match ended {
                Some(reason) => return Err(reason),
                None => self.0.0.changed.notified().await,
            }
        }
    }
}

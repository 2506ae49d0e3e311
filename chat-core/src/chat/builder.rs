//! Putting an engine together.

use std::collections::HashMap;
use std::sync::Arc;

use super::Chat;
use super::engine::{Engine, Parts};
use super::hook::{ActionHandler, MessageHook, Observer};
use super::{background, dispatch};
use crate::error::StoreError;
use crate::hub::LocalHub;
use crate::limits::Limits;
use crate::port::{Auth, PresenceHub, RoomStore};
use crate::protocol::request::ACTIONS;
use crate::time::{Clock, SystemClock};

/// Why an engine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A part was not given.
    #[error("the chat needs {0}")]
    Missing(&'static str),
    /// An action's name is not `namespace.name` in lower-case letters, digits and underscores, or is taken.
    #[error("`{0}` cannot be the name of an action: use namespace.name, once")]
    ActionName(String),
    /// The store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts an engine together; see [`Chat::builder`].
#[derive(Debug, Default)]
pub struct ChatBuilder {
    auth: Option<Arc<dyn Auth>>,
    rooms: Option<Arc<dyn RoomStore>>,
    hub: Option<Arc<dyn PresenceHub>>,
    clock: Option<Arc<dyn Clock>>,
    limits: Limits,
    hooks: Vec<Arc<dyn MessageHook>>,
    observers: Vec<Arc<dyn Observer>>,
    actions: Vec<(String, Arc<dyn ActionHandler>)>,
}

impl ChatBuilder {
    /// Who users are. Required.
    #[must_use]
    pub fn auth(self, auth: Arc<dyn Auth>) -> Self {
        Self { auth: Some(auth), ..self }
    }

    /// Where conversations are kept. Required.
    #[must_use]
    pub fn rooms(self, rooms: Arc<dyn RoomStore>) -> Self {
        Self { rooms: Some(rooms), ..self }
    }

    /// How news travels; a [`LocalHub`] if not given.
    #[must_use]
    pub fn hub(self, hub: Arc<dyn PresenceHub>) -> Self {
        Self { hub: Some(hub), ..self }
    }

    /// What tells the time; the system if not given.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock: Some(clock), ..self }
    }

    /// The limits; their defaults if not given.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Adds what may refuse messages. All are asked, in the order in which they were added.
    #[must_use]
    pub fn hook(mut self, hook: Arc<dyn MessageHook>) -> Self {
        self.hooks.push(hook);
        self
    }

    /// Adds what sees committed entries.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Adds an action of the application under `namespace.name`.
    #[must_use]
    pub fn action(mut self, name: impl Into<String>, action: Arc<dyn ActionHandler>) -> Self {
        self.actions.push((name.into(), action));
        self
    }

    /// Builds the engine and starts its background work, which needs a tokio runtime.
    ///
    /// # Errors
    /// A part is missing, an action has an impossible name, or the store cannot be asked.
    pub async fn build(self) -> Result<Chat, BuildError> {
        let actions = check_actions(self.actions)?;
        let auth = self.auth.ok_or(BuildError::Missing("an `auth`"))?;
        let rooms = self.rooms.ok_or(BuildError::Missing("`rooms`"))?;
        let limits = self.limits;
        let hub = self
            .hub
            .unwrap_or_else(|| Arc::new(LocalHub::new(limits.presence_grace, limits.presence_gather)));
        let epoch = rooms.epoch().await?;
        let engine = Arc::new(Engine::new(Parts {
            auth,
            rooms,
            hub,
            clock: self.clock.unwrap_or_else(|| Arc::new(SystemClock)),
            limits,
            hooks: self.hooks,
            observers: self.observers,
            actions,
            epoch,
        }));
        dispatch::begin_counts();
        engine.listen();
        background::start(&engine);
        Ok(Chat { engine })
    }
}

fn check_actions(
    actions: Vec<(String, Arc<dyn ActionHandler>)>,
) -> Result<HashMap<String, Arc<dyn ActionHandler>>, BuildError> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let mut checked = HashMap::new();
    for (name, action) in actions {
        let is_allowed = name.split_once('.').is_some_and(|(space, rest)| is_word(space) && is_word(rest));
        if !is_allowed || ACTIONS.contains(&name.as_str()) || checked.insert(name.clone(), action).is_some() {
            return Err(BuildError::ActionName(name));
        }
    }
    Ok(checked)
}

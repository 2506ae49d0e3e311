//! An action of one's own: `game.roll {room_id}` rolls a die, says so in the room and counts the turns.
//!
//! Clients call it like any action of the protocol: signed in, within the same limits, with
//! `request_id`. What the handler does through [`ActionContext::user`] is authorised by the
//! engine; the turns are the game's own, so it asks before it touches them.
//!
//! `cargo run -p chat-examples --example own_action`, then send
//! `{"action":"game.roll","room_id":"…"}`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::chat::{ActionContext, ActionHandler, ConversationAction, NewMessage};
use chat_core::id::ConversationId;
use chat_core::memory::MemoryStore;
use chat_core::protocol::ActionError;
use chat_core::time::SystemClock;
use chat_transport_ws::{Config, serve};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// The game: how many turns were played in each room.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    turns: Mutex<HashMap<ConversationId, u64>>,
}

#[async_trait]
impl ActionHandler for Roll {
    async fn handle(
        &self,
        context: ActionContext,
        fields: Map<String, Value>,
    ) -> Result<Map<String, Value>, ActionError> {
        let room = room_id(&fields)?;
        let user = context.user();
        // Proof that the caller may write there. It names the only room that is touched below.
        let scope = user.authorise(ConversationAction::Send, room).await?;

        let rolled = roll()?;
        let turn = self.take_turn(scope.id());
        let text = format!("🎲 turn {turn}: {rolled}");
        let message = NewMessage::text(text).map_err(|_| ActionError::internal())?;
        let sent = user.send_message(scope.id(), message).await?;
        Ok(Map::from_iter([
            ("rolled".to_owned(), json!(rolled)),
            ("turn".to_owned(), json!(turn)),
            ("seq".to_owned(), json!(sent.seq)),
        ]))
    }
}

impl Roll {
    fn take_turn(&self, room: ConversationId) -> u64 {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = turns.entry(room).or_default();
        *turn += 1;
        *turn
    }
}

/// Reads the request's only field, as strictly as the protocol reads its own.
fn room_id(fields: &Map<String, Value>) -> Result<ConversationId, ActionError> {
    if let Some(unknown) = fields.keys().find(|name| *name != "room_id") {
        return Err(ActionError::invalid(unknown.as_str(), "is not a field of this action"));
    }
    let Some(Value::String(text)) = fields.get("room_id") else {
        return Err(ActionError::invalid("room_id", "must be a string"));
    };
    // A string that is no id names nothing.
    text.parse().map_err(|_| ActionError::not_found())
}

/// 1 to 6, each as likely.
fn roll() -> Result<u64, ActionError> {
    let random = getrandom::u64().map_err(|_| ActionError::internal())?;
    Ok(random % 6 + 1)
}

/// A chat with the game.
pub(crate) async fn chat() -> anyhow::Result<Chat> {
    let store = Arc::new(MemoryStore::new());
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
    let game = Arc::new(Roll::default());
    Ok(Chat::builder().auth(Arc::new(auth)).rooms(store).action("game.roll", game).build().await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:2346").await?;
    #[allow(clippy::print_stdout, reason = "for the person who started it")]
    {
        println!("ws://{}/ws", listener.local_addr()?);
    }
    let interrupted = async { tokio::signal::ctrl_c().await.expect("interrupts can be awaited") };
    serve(listener, chat().await?, Config::default(), interrupted).await;
    Ok(())
}

//! Moderation: a [`MessageHook`] that refuses messages with certain words, before they are stored.
//!
//! A hook may refuse and never change. What it answers reaches the sender as the reply's `code`,
//! `field` and `message`; nobody else sees anything of the message. Hooks run for members only.
//!
//! `cargo run -p chat-examples --example moderation`, then try to send `buy pills`.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::chat::{MessageHook, PendingMessage};
use chat_core::memory::MemoryStore;
use chat_core::protocol::{ActionError, Code};
use chat_core::time::SystemClock;
use chat_transport_ws::{Config, serve};
use tokio::net::TcpListener;

/// Words that nobody may say.
#[derive(Debug)]
pub(crate) struct WordList {
    words: Vec<String>,
}

impl WordList {
    /// Refuses `words`, whatever their case.
    pub(crate) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self { words: words.into_iter().map(str::to_lowercase).collect() }
    }

    fn forbids(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.words.iter().any(|word| {
            if word.is_ascii() {
                // "pills" is not in "caterpillars".
                text.split(|c: char| !c.is_alphanumeric()).any(|said| said == word)
            } else {
                // Chinese has no spaces between its words.
                text.contains(word.as_str())
            }
        })
    }
}

#[async_trait]
impl MessageHook for WordList {
    async fn check(&self, message: &PendingMessage) -> Result<(), ActionError> {
        if self.forbids(message.content.as_str()) {
            let refusal =
                ActionError::new(Code::Forbidden, "This message has a word that is not allowed here");
            return Err(ActionError { field: Some("content".to_owned()), ..refusal });
        }
        Ok(())
    }
}

/// A chat with a word list.
pub(crate) async fn chat() -> anyhow::Result<Chat> {
    let store = Arc::new(MemoryStore::new());
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
    let words = WordList::new(["pills", "casino", "赌场"]);
    Ok(Chat::builder().auth(Arc::new(auth)).rooms(store).hook(Arc::new(words)).build().await?)
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

//! A bot in the same process: whoever writes `!count` in one of its rooms is told how many
//! messages the room has.
//!
//! An [`Observer`] must not wait, so it only hands what was said to a bounded channel. The bot
//! answers through the same typed API as everybody, in its own name and with its own rights.
//! The key of an answer is made from the question: however often it is sent, it is stored once.
//!
//! `cargo run -p chat-examples --example bot`, then invite the user `counter` to a room.

use std::sync::Arc;

use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::chat::{BuildError, NewMessage, Observer, User};
use chat_core::domain::{ClientId, Conversation, Email, Entry, EntryBody, Event};
use chat_core::id::{EntryId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{Auth, ClientContext, Registration};
use chat_core::time::SystemClock;
use chat_core::{Chat, ChatBuilder};
use chat_transport_ws::{Config, serve};
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Entries that wait for the bot. When it is further behind it misses some: the log still has them.
const WAITING_ENTRIES: usize = 1_024;
/// How often an answer is sent when the store is busy.
const ATTEMPTS: usize = 5;

/// Builds the chat with `bot` in it, which answers until `stop` is cancelled.
pub(crate) async fn start(
    builder: ChatBuilder,
    bot: UserId,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Chat, BuildError> {
    let (heard, entries) = mpsc::channel(WAITING_ENTRIES);
    let chat = builder.observer(Arc::new(Ears { bot, heard })).build().await?;
    let user = chat.as_user(bot);
    tasks.spawn(stop.run_until_cancelled_owned(live(user, entries)));
    Ok(chat)
}

/// Hands the bot what others do.
#[derive(Debug)]
struct Ears {
    bot: UserId,
    heard: mpsc::Sender<Entry>,
}

impl Observer for Ears {
    fn committed(&self, _conversation: &Conversation, entry: &Entry) {
        // The bot's own words are not for its ears, or it would talk with itself for ever.
        if entry.by != self.bot && self.heard.try_send(entry.clone()).is_err() {
            tracing::warn!("the bot misses an entry: it is too far behind");
        }
    }
}

/// Joins where it is invited and answers where it is asked.
async fn live(bot: User, mut entries: mpsc::Receiver<Entry>) {
    while let Some(entry) = entries.recv().await {
        match &entry.body {
            EntryBody::Event(Event::Invited { user }) if *user == bot.id() => {
                if let Err(error) = bot.join_room(entry.conversation).await {
                    tracing::warn!(%error, "the bot cannot join");
                }
            }
            EntryBody::Message(message) if message.content.as_str() == "!count" => answer(&bot, &entry).await,
            EntryBody::Message(_) | EntryBody::Event(_) => {}
        }
    }
}

async fn answer(bot: &User, question: &Entry) {
    let text = format!("{} messages so far", question.messages_so_far);
    let message = NewMessage::text(text).expect("a number and some words are a message");
    let message = message.with_client_id(key(question.id));
    for _ in 0..ATTEMPTS {
        match bot
            .send_message(question.conversation, message.clone())
            .await
            .map_err(|error| error.retry_after)
        {
            // The bot is no member of every room that it hears of; there it has nothing to say.
            Ok(_) | Err(None) => return,
            Err(Some(pause)) => tokio::time::sleep(pause).await,
        }
    }
}

/// The key of the answer to `question`: always the same.
fn key(question: EntryId) -> ClientId {
    ClientId::new(format!("answer-{question}")).expect("an id and a word are a key")
}

/// The bot's account, with a password that nobody knows.
pub(crate) async fn register(auth: &dyn Auth, name: &str) -> anyhow::Result<UserId> {
    let mut password = [0; 32];
    getrandom::fill(&mut password)?;
    let registration = Registration {
        username: name.to_owned(),
        password: HEXLOWER.encode(&password).into(),
        email: Email::new("bot@localhost")?,
        display_name: None,
    };
    Ok(auth.register(registration, &ClientContext::default()).await?)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let store = Arc::new(MemoryStore::new());
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
    let bot = register(&auth, "counter").await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let builder = Chat::builder().auth(Arc::new(auth)).rooms(store);
    let chat = start(builder, bot, &tasks, stop.clone()).await?;

    let listener = TcpListener::bind("127.0.0.1:2346").await?;
    #[allow(clippy::print_stdout, reason = "for the person who started it")]
    {
        println!("ws://{}/ws; the bot's user_id is {bot}", listener.local_addr()?);
    }
    let interrupted = async { tokio::signal::ctrl_c().await.expect("interrupts can be awaited") };
    serve(listener, chat, Config::default(), interrupted).await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

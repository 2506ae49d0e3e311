//! A chat for the users of an existing application: the chat has no accounts of its own.
//!
//! A shop signs its customers in and gives them a token: name, end and a MAC over both. The
//! chat asks the shop's [`Auth`] whom a token stands for. When the shop blocks a customer it
//! also closes the sockets that are open; the token itself is refused from then on.
//!
//! `cargo run -p chat-examples --example custom_auth` prints a request to `authenticate` with;
//! its first interrupt (Ctrl-C) blocks that customer, the second ends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::Chat;
use chat_core::chat::BuildError;
use chat_core::domain::{DisplayName, Profile};
use chat_core::error::AuthError;
use chat_core::id::{SessionId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{Auth, ClientContext, Identity};
use chat_core::time::{Clock, SystemClock, Timestamp};
use chat_transport_ws::{Config, serve};
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::net::TcpListener;

/// How long a token is good. Short, because it is the shop's page that gets the next one.
const TOKEN_LIFETIME: Duration = Duration::from_secs(600);

/// The application: it knows its customers and who is signed in.
#[derive(Debug)]
pub(crate) struct Shop {
    mac: Hmac<Sha256>,
    clock: Arc<dyn Clock>,
    customers: Mutex<BTreeMap<String, Customer>>,
}

#[derive(Debug)]
struct Customer {
    display_name: DisplayName,
    is_blocked: bool,
}

impl Shop {
    /// A shop that signs with `key`, which is secret and random.
    pub(crate) fn new(key: &[u8; 32], clock: Arc<dyn Clock>) -> Self {
        let mac = Hmac::new_from_slice(key).expect("a MAC takes keys of any length");
        Self { mac, clock, customers: Mutex::default() }
    }

    /// Adds a customer; answers who that is in the chat: always the same for the same name.
    pub(crate) fn add_customer(&self, name: &str, display_name: DisplayName) -> UserId {
        self.lock().insert(name.to_owned(), Customer { display_name, is_blocked: false });
        chat_user(name)
    }

    /// The token of a customer, whom the shop has recognised by whatever means.
    pub(crate) fn token(&self, name: &str) -> String {
        let ends_at = self.clock.now().plus(TOKEN_LIFETIME).unix_ms();
        let signed = format!("{name}.{ends_at}");
        let mac = self.mac.clone().chain_update(&signed).finalize().into_bytes();
        format!("{signed}.{}", HEXLOWER.encode(&mac))
    }

    /// Blocks a customer: no token is good any more, and what is open closes.
    pub(crate) fn block(&self, name: &str, chat: &Chat) {
        if let Some(customer) = self.lock().get_mut(name) {
            customer.is_blocked = true;
        }
        // In this order: whoever connects in between is refused already.
        let _closed: usize = chat.disconnect_user(chat_user(name));
    }

    /// Name, end and MAC of a token that this shop made.
    fn verify<'a>(&self, token: &'a str) -> Option<(&'a str, Timestamp, Vec<u8>)> {
        let (signed, mac) = token.rsplit_once('.')?;
        let mac = HEXLOWER.decode(mac.as_bytes()).ok()?;
        // Compares in constant time, and before anything in the token is believed.
        self.mac.clone().chain_update(signed).verify_slice(&mac).ok()?;
        let (name, ends_at) = signed.rsplit_once('.')?;
        Some((name, Timestamp::from_unix_ms(ends_at.parse().ok()?), mac))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Customer>> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chat_user(name: &str) -> UserId {
    UserId::from_external("shop", name)
}

/// What the chat asks the shop. Registration, login and passwords are the shop's own pages.
#[async_trait]
impl Auth for Shop {
    async fn authenticate(&self, token: &str, _client: &ClientContext) -> Result<Identity, AuthError> {
        let (name, ends_at, mac) = self.verify(token).ok_or(AuthError::InvalidToken)?;
        if ends_at <= self.clock.now() {
            return Err(AuthError::ExpiredToken);
        }
        match self.lock().get(name) {
            None => return Err(AuthError::InvalidToken),
            Some(customer) if customer.is_blocked => return Err(AuthError::SessionEnded),
            Some(_) => {}
        }
        let session: [u8; 12] = mac[..12].try_into().map_err(|_| AuthError::InvalidToken)?;
        Ok(Identity {
            user_id: chat_user(name),
            session_id: SessionId::from_bytes(session),
            username: name.to_owned(),
            expires_at: Some(ends_at),
        })
    }

    async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError> {
        Ok(self.lock().contains_key(name).then(|| chat_user(name)))
    }

    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError> {
        // A real shop would keep the chat's id in a column of its own and look it up there.
        let customers = self.lock();
        let asked = customers.iter().filter(|(name, _)| users.contains(&chat_user(name)));
        let profile = |(name, customer): (&String, &Customer)| Profile {
            user_id: chat_user(name),
            username: name.clone(),
            display_name: customer.display_name.clone(),
            last_seen: None,
        };
        Ok(asked.map(profile).collect())
    }
}

/// A chat whose users are the shop's customers.
pub(crate) async fn chat(shop: Arc<Shop>) -> Result<Chat, BuildError> {
    let clock = Arc::clone(&shop.clock);
    Chat::builder().auth(shop).rooms(Arc::new(MemoryStore::new())).clock(clock).build().await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut key = [0; 32];
    getrandom::fill(&mut key)?;
    let shop = Arc::new(Shop::new(&key, Arc::new(SystemClock)));
    shop.add_customer("ann", DisplayName::new("Ann")?);
    let chat = chat(Arc::clone(&shop)).await?;
    let listener = TcpListener::bind("127.0.0.1:2346").await?;
    #[allow(clippy::print_stdout, reason = "for the person who started it")]
    {
        println!("ws://{}/ws", listener.local_addr()?);
        println!(r#"{{"action":"authenticate","token":"{}"}}"#, shop.token("ann"));
    }
    let interrupted = async || tokio::signal::ctrl_c().await.expect("interrupts can be awaited");
    let until_the_second = async {
        interrupted().await;
        shop.block("ann", &chat);
        interrupted().await;
    };
    serve(listener, chat.clone(), Config::default(), until_the_second).await;
    Ok(())
}

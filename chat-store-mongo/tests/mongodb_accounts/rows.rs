//! Accounts and sessions as these tests make them, and their rows beside the store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chat_core::domain::{DeviceName, DisplayName, Email};
use chat_core::id::{SessionId, UserId};
use chat_core::port::{NewAccount, Session, SessionTokens, TokenHash, UsernameKeys};
use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// So many seconds after these tests begin.
pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_ms(1_790_000_000_042).plus(Duration::from_secs(seconds))
}

pub(crate) fn user() -> UserId {
    UserId::from_bytes(ObjectId::new().bytes())
}

/// The id of a row, whatever it is the id of.
pub(crate) fn object_id(bytes: &[u8; 12]) -> ObjectId {
    ObjectId::from_bytes(*bytes)
}

pub(crate) fn keys(text: &str) -> UsernameKeys {
    let folded = text.to_lowercase();
    UsernameKeys { text: text.to_owned(), skeleton: format!("skeleton of {folded}"), folded }
}

pub(crate) fn new_account(name: &str) -> NewAccount {
    NewAccount {
        user_id: user(),
        username: keys(name),
        display_name: DisplayName::new(name).unwrap(),
        email: Some(Email::new("someone@example.org").unwrap()),
        password_hash: "$argon2id$first".to_owned(),
        created_at: at(0),
    }
}

/// Tokens that nobody had before.
pub(crate) fn tokens(issued_at: Timestamp) -> SessionTokens {
    SessionTokens {
        access: token(),
        access_expires_at: issued_at.plus(DAY),
        refresh: token(),
        refresh_expires_at: issued_at.plus(DAY * 7),
        issued_at,
    }
}

fn token() -> TokenHash {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&COUNT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    TokenHash(bytes)
}

pub(crate) fn session(user_id: UserId, created_at: Timestamp) -> Session {
    Session {
        session_id: SessionId::from_bytes(ObjectId::new().bytes()),
        user_id,
        device: Some(DeviceName::new("a phone").unwrap()),
        created_at,
        last_used_at: created_at,
        ends_at: created_at.plus(DAY * 30),
        tokens: tokens(created_at),
    }
}

/// What the store keeps of a token.
pub(crate) fn stored(token: TokenHash) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: token.0.to_vec() })
}

/// The row with this id.
pub(crate) async fn row(database: &mongodb::Database, collection: &str, id: impl Into<Bson>) -> Document {
    let filter = doc! { "_id": id.into() };
    database.collection(collection).find_one(filter).await.unwrap().expect("the row")
}

pub(crate) async fn count(database: &mongodb::Database, collection: &str) -> u64 {
    database.collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
}

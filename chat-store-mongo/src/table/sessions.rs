//! Sessions as rows of `sessions`. A row is `live` until its session ends. Tokens are stored as their hashes.

use chat_core::domain::DeviceName;
use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Session, SessionTokens, TokenHash};
use chat_core::time::Timestamp;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};

use crate::table::row::{Row, date, object_id};
use crate::table::schema::SESSIONS;

/// A row as it is read.
pub(crate) struct SessionRow {
    pub(crate) session: Session,
    /// The refresh token replaced last, and when.
    pub(crate) previous: Option<(TokenHash, Timestamp)>,
}

/// A hash as it is stored.
pub(crate) fn hash(token: TokenHash) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: token.0.to_vec() })
}

fn as_hash(value: &Bson) -> Option<TokenHash> {
    match value {
        Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes }) => {
            bytes.as_slice().try_into().ok().map(TokenHash)
        }
        _ => None,
    }
}

/// Which fields change with the tokens. Rows are removed by `kept_until`.
pub(crate) fn token_fields(tokens: &SessionTokens, ends_at: Timestamp) -> Document {
    doc! {
        "access": hash(tokens.access),
        "access_expires_at": date(tokens.access_expires_at),
        "refresh": hash(tokens.refresh),
        "refresh_expires_at": date(tokens.refresh_expires_at),
        "issued_at": date(tokens.issued_at),
        "kept_until": date(tokens.refresh_expires_at.min(ends_at)),
    }
}

/// The row of a new session.
pub(crate) fn new_row(session: &Session) -> Document {
    let mut row = doc! {
        "_id": object_id(session.session_id.as_bytes()),
        "user_id": object_id(session.user_id.as_bytes()),
        "live": true,
        "created_at": date(session.created_at),
        "last_used_at": date(session.last_used_at),
        "ends_at": date(session.ends_at),
    };
    if let Some(device) = &session.device {
        row.insert("device", device.as_str());
    }
    row.extend(token_fields(&session.tokens, session.ends_at));
    row
}

impl SessionRow {
    pub(crate) fn read(fields: &Document) -> Result<Self, StoreError> {
        let row = Row::new(SESSIONS, fields);
        let session = Session {
            session_id: SessionId::from_bytes(row.id("_id")?),
            user_id: UserId::from_bytes(row.id("user_id")?),
            device: row.optional("device", |name| DeviceName::from_stored(name.as_str()?).ok())?,
            created_at: row.time("created_at")?,
            last_used_at: row.time("last_used_at")?,
            ends_at: row.time("ends_at")?,
            tokens: SessionTokens {
                access: row.required("access", as_hash)?,
                access_expires_at: row.time("access_expires_at")?,
                refresh: row.required("refresh", as_hash)?,
                refresh_expires_at: row.time("refresh_expires_at")?,
                issued_at: row.time("issued_at")?,
            },
        };
        let previous = row.optional("previous", |previous| {
            let previous = previous.as_document()?;
            let refresh = previous.get("refresh").and_then(as_hash)?;
            let replaced_at = previous.get_datetime("replaced_at").ok()?.timestamp_millis();
            Some((refresh, Timestamp::from_unix_ms(replaced_at)))
        })?;
        Ok(Self { session, previous })
    }
}

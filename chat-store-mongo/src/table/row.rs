//! Reading rows: fields that must be there, and what is said when they are not.

use chat_core::error::StoreError;
use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document};

/// A row of a collection. What it says of itself in errors is its collection, its id and the name of a field, never
/// a value: that could be anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    collection: &'static str,
    fields: &'a Document,
}

impl<'a> Row<'a> {
    pub(crate) fn new(collection: &'static str, fields: &'a Document) -> Self {
        Self { collection, fields }
    }

    /// The error that this field has no value that can be read.
    pub(crate) fn damaged(self, field: &str) -> StoreError {
        let id = match self.fields.get("_id") {
            Some(Bson::ObjectId(id)) => id.to_hex(),
            Some(Bson::String(id)) => id.clone(),
            Some(Bson::Binary(id)) => id.bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => "without an id".to_owned(),
        };
        StoreError::corrupt(format!("{} {id}: {field} is missing or cannot be read", self.collection))
    }

    /// What `read` makes of the field; `None` for a field that is absent or null.
    pub(crate) fn optional<T>(
        self,
        field: &str,
        read: impl FnOnce(&'a Bson) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        match self.fields.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.damaged(field)),
        }
    }

    /// What `read` makes of the field.
    pub(crate) fn required<T>(
        self,
        field: &str,
        read: impl FnOnce(&'a Bson) -> Option<T>,
    ) -> Result<T, StoreError> {
        self.fields.get(field).and_then(read).ok_or_else(|| self.damaged(field))
    }

    /// An id of any kind: `row.id("user_id").map(UserId::from_bytes)`.
    pub(crate) fn id(self, field: &str) -> Result<[u8; 12], StoreError> {
        self.required(field, |value| value.as_object_id().map(|id| id.bytes()))
    }

    pub(crate) fn optional_id(self, field: &str) -> Result<Option<[u8; 12]>, StoreError> {
        self.optional(field, |value| value.as_object_id().map(|id| id.bytes()))
    }

    pub(crate) fn text(self, field: &str) -> Result<&'a str, StoreError> {
        self.required(field, Bson::as_str)
    }

    pub(crate) fn optional_text(self, field: &str) -> Result<Option<&'a str>, StoreError> {
        self.optional(field, Bson::as_str)
    }

    /// A whole number, whatever type it has.
    pub(crate) fn number(self, field: &str) -> Result<u64, StoreError> {
        self.required(field, as_number)
    }

    pub(crate) fn flag(self, field: &str) -> Result<bool, StoreError> {
        Ok(self.optional(field, Bson::as_bool)?.unwrap_or(false))
    }

    pub(crate) fn time(self, field: &str) -> Result<Timestamp, StoreError> {
        self.required(field, as_time)
    }

    pub(crate) fn optional_time(self, field: &str) -> Result<Option<Timestamp>, StoreError> {
        self.optional(field, as_time)
    }
}

fn as_number(value: &Bson) -> Option<u64> {
    match value {
        Bson::Int32(number) => u64::try_from(*number).ok(),
        Bson::Int64(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

fn as_time(value: &Bson) -> Option<Timestamp> {
    value.as_datetime().map(|time| Timestamp::from_unix_ms(time.timestamp_millis()))
}

/// A time as it is stored.
pub(crate) fn date(time: Timestamp) -> DateTime {
    DateTime::from_millis(time.unix_ms())
}

/// An id as it is stored.
pub(crate) fn object_id(bytes: &[u8; 12]) -> ObjectId {
    ObjectId::from_bytes(*bytes)
}

/// A number as it is stored. Numbers of entries are below 2^53.
pub(crate) fn stored_number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

//! Stage two of decoding: the fields of an envelope into the closed struct of an action.
//!
//! Every error names the field that it is about, and no error repeats a value: it may be a secret.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess};
use serde_json::value::RawValue;

use super::envelope::{Envelope, Field, shortened};
use crate::error::{ActionError, Code};

/// Reads all fields of `envelope` but those of the envelope itself.
pub(super) fn read<'e, T: Deserialize<'e>>(envelope: &'e Envelope<'_>) -> Result<T, ActionError> {
    let fields = Fields { rest: envelope.fields().iter(), current: None };
    T::deserialize(MapAccessDeserializer::new(fields)).map_err(ActionError::from)
}

struct Fields<'e> {
    rest: std::slice::Iter<'e, Field<'e>>,
    current: Option<(&'e str, &'e RawValue)>,
}

impl<'e> MapAccess<'e> for Fields<'e> {
    type Error = FieldError;

    fn next_key_seed<K: DeserializeSeed<'e>>(&mut self, seed: K) -> Result<Option<K::Value>, FieldError> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.current = Some((name, value));
        let name: StrDeserializer<'_, FieldError> = name.as_ref().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'e>>(&mut self, seed: V) -> Result<V::Value, FieldError> {
        let Some((name, value)) = self.current.take() else {
            return Err(de::Error::custom("a value is read without its name"));
        };
        if value.get() == "null" {
            return Err(FieldError::about(name, "must not be null"));
        }
        seed.deserialize(value).map_err(|error| FieldError::about(name, &problem(&error)))
    }
}

/// What a person needs of an error: neither the value nor its place in the text.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    match text.rsplit_once(", expected ") {
        Some((_, "u64" | "u32")) => "must be a whole number, 0 or more".to_owned(),
        Some((_, "a sequence")) => "must be a list".to_owned(),
        Some((_, "a map")) => "must be an object".to_owned(),
        Some((_, expected)) => format!("must be {expected}"),
        None => text.to_owned(),
    }
}

/// What is wrong with which field.
#[derive(Debug)]
struct FieldError {
    field: Option<String>,
    problem: String,
}

impl FieldError {
    fn about(field: &str, problem: &str) -> Self {
        Self { field: Some(shortened(field)), problem: problem.to_owned() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for FieldError {}

impl de::Error for FieldError {
    fn custom<T: fmt::Display>(problem: T) -> Self {
        Self { field: None, problem: problem.to_string() }
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::about(field, "is not a field of this action")
    }

    fn missing_field(field: &'static str) -> Self {
        Self::about(field, "is required")
    }
}

impl From<FieldError> for ActionError {
    fn from(error: FieldError) -> Self {
        Self { field: error.field, ..Self::new(Code::InvalidParams, error.problem) }
    }
}

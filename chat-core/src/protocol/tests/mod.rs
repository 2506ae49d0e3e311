//! Tests of the wire: what is read, what is written, and that the document says the same.

mod bounds;
mod document;
mod envelope;
mod fields;
mod golden;
mod oddities;
mod random;
mod samples;

use serde_json::{Map, Value};

use super::{ActionError, Code, Envelope, Request};

/// Decodes both stages.
fn decode(text: &str) -> Result<Request, ActionError> {
    let envelope = Envelope::decode(text).map_err(|refused| refused.error)?;
    Request::decode(&envelope)
}

/// Asserts that `text` is refused as `invalid_params` because of `field`.
#[track_caller]
fn assert_refused(text: &str, field: &str) {
    let shown: String = text.chars().take(200).collect();
    match decode(text) {
        Ok(request) => panic!("{shown} was taken for {request:?}, but {field} is wrong"),
        Err(error) => {
            assert_eq!(error.code, Code::InvalidParams, "{shown}: {error}");
            assert_eq!(error.field.as_deref(), Some(field), "{shown}: {error}");
        }
    }
}

#[track_caller]
fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The JSON text of `fields`, with the raw text `value` for `key`.
fn with_raw(fields: &Map<String, Value>, key: &str, value: &str) -> String {
    let mut text = format!("{{{}:{value}", Value::from(key));
    for (name, value) in fields.iter().filter(|(name, _)| *name != key) {
        text.push_str(&format!(",{}:{value}", Value::from(name.as_str())));
    }
    text.push('}');
    text
}

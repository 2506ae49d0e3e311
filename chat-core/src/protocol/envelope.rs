//! Stage one of decoding: what every request has, borrowed from the frame.
//!
//! Checks the shape of the JSON (one object, its size and depth, no key twice, no
//! broken text or number), so that stage two and applications only meet sound values.
//! Knows nothing of the fields of any action.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::error::{ActionError, Code};
use crate::limits::hard;

/// How a client named a request: a JSON string or number, kept as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestId(Cow<'static, str>);

impl RequestId {
    /// What a reply carries when the request could not be read: `null`.
    pub const NULL: Self = Self(Cow::Borrowed("null"));

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({})", self.0)
    }
}

/// A frame that is no request, with what its reply needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeError {
    /// The request's id; [`RequestId::NULL`] if the frame could not be read, `None` if it has none that is allowed.
    pub request_id: Option<RequestId>,
    /// `invalid_json`, or `invalid_params` with the field.
    pub error: ActionError,
}

impl DecodeError {
    /// Whether the frame was no JSON object at all. Clients that send many such frames are cut off.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        self.error.code == Code::InvalidJson
    }

    fn unreadable() -> Self {
        Self { request_id: Some(RequestId::NULL), error: ActionError::new(Code::InvalidJson, "Invalid JSON") }
    }
}

/// A request whose action has not been looked at yet.
pub struct Envelope<'a> {
    action: Cow<'a, str>,
    request_id: Option<RequestId>,
    token: Option<Cow<'a, str>>,
    fields: Vec<Field<'a>>,
}

/// A field's name and its value as it was written; checked by [`check_value`].
pub(super) type Field<'a> = (Cow<'a, str>, &'a RawValue);

impl<'a> Envelope<'a> {
    /// Reads one frame: a JSON object with `action`, perhaps `request_id` and `token`, and other fields.
    ///
    /// # Errors
    /// `invalid_json` if the text is not one JSON object; `invalid_params` if `action`, `request_id` or `token` is
    /// missing or of a wrong type, a key comes twice, there are too many or too deep values, or a value is no
    /// sound text or number.
    pub fn decode(text: &'a str) -> Result<Self, DecodeError> {
        let mut object = serde_json::from_str::<Object<'a>>(text).map_err(|_| DecodeError::unreadable())?;
        let request_id = match object.take("request_id").map(read_request_id).transpose() {
            // With two ids it is not known which is meant.
            Ok(_) if object.refused.as_ref().is_some_and(|(name, _)| name == "request_id") => None,
            Ok(request_id) => request_id,
            Err(error) => return Err(DecodeError { request_id: None, error }),
        };
        match Self::from_object(object, request_id.clone()) {
            Ok(envelope) => Ok(envelope),
            Err(error) => Err(DecodeError { request_id, error }),
        }
    }

    fn from_object(mut object: Object<'a>, request_id: Option<RequestId>) -> Result<Self, ActionError> {
        if let Some((name, problem)) = object.refused {
            return Err(ActionError::invalid(shortened(&name), problem));
        }
        for (name, value) in &object.fields {
            check_value(value).map_err(|problem| ActionError::invalid(shortened(name), problem))?;
        }
        let action = match object.take("action") {
            Some(value) => read_text("action", value)?,
            None => return Err(ActionError::invalid("action", "is required")),
        };
        let token = object.take("token").map(|value| read_text("token", value)).transpose()?;
        if token.as_ref().is_some_and(|token| token.is_empty() || token.len() > hard::TOKEN_BYTES) {
            let problem = format!("must have 1 to {} bytes", hard::TOKEN_BYTES);
            return Err(ActionError::invalid("token", problem));
        }
        Ok(Self { action, request_id, token, fields: object.fields })
    }

    /// The name of the action; any text.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// How the client named the request.
    #[must_use]
    pub fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    /// The access token that came with the request, of any action.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// All other fields as JSON values: for actions that applications add.
    ///
    /// # Errors
    /// `invalid_params` with the field, if a value cannot be represented.
    pub fn fields_json(&self) -> Result<serde_json::Map<String, serde_json::Value>, ActionError> {
        let parsed = self.fields.iter().map(|(name, value)| {
            serde_json::from_str(value.get())
                .map(|value| (name.clone().into_owned(), value))
                .map_err(|_| ActionError::invalid(shortened(name), "is not a valid value"))
        });
        parsed.collect()
    }

    pub(super) fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }
}

impl fmt::Debug for Envelope<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.fields.iter().map(|(name, _)| name.as_ref()).collect();
        f.debug_struct("Envelope")
            .field("action", &self.action)
            .field("request_id", &self.request_id)
            .field("fields", &names)
            .finish_non_exhaustive()
    }
}

/// The name of a field as an error shows it: clients may send names of any length.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(64).collect()
}

fn read_request_id(value: &RawValue) -> Result<RequestId, ActionError> {
    let json = value.get();
    let invalid = |problem: &str| Err(ActionError::invalid("request_id", problem));
    if !json.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        return invalid("must be a string or a number");
    }
    if json.len() > hard::REQUEST_ID_BYTES + 2 {
        return invalid(&format!("must have at most {} bytes", hard::REQUEST_ID_BYTES));
    }
    if let Err(problem) = check_value(value) {
        return invalid(problem);
    }
    Ok(RequestId(Cow::Owned(json.to_owned())))
}

fn read_text<'a>(name: &str, value: &'a RawValue) -> Result<Cow<'a, str>, ActionError> {
    Text.deserialize(value).map_err(|_| ActionError::invalid(name, "must be a string"))
}

/// The frame's object, read to its end whatever is wrong with its fields.
struct Object<'a> {
    fields: Vec<Field<'a>>,
    /// The first key that came twice or was one too many, and which it was.
    refused: Option<(Cow<'a, str>, &'static str)>,
}

impl<'a> Object<'a> {
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let index = self.fields.iter().position(|(key, _)| key == name)?;
        Some(self.fields.remove(index).1)
    }

    fn add(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
        let is_request_id = name == "request_id";
        if self.fields.iter().any(|(key, _)| *key == name) {
            // Two request ids are worse than anything else: the reply cannot have one.
            if self.refused.is_none() || is_request_id {
                self.refused = Some((name, "is given twice"));
            }
        } else if self.fields.len() < hard::JSON_FIELDS || is_request_id {
            self.fields.push((name, value));
        } else if self.refused.is_none() {
            self.refused = Some((name, "is one field too many"));
        }
    }
}

impl<'de> de::Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut object = Object { fields: Vec::with_capacity(8), refused: None };
                while let Some(name) = map.next_key_seed(Text)? {
                    object.add(name, map.next_value()?);
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// A JSON string, borrowed where it has no escapes.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// Checks what the raw scan of a value lets pass: lone surrogates, numbers out of range, keys that come
/// twice, and depth.
fn check_value(value: &RawValue) -> Result<(), &'static str> {
    let json = value.get();
    let is_plain = match json.as_bytes().first() {
        Some(b'"') => !json.contains('\\'),
        Some(b'[' | b'{') => false,
        Some(b'-' | b'0'..=b'9') => json.len() <= 15 && !json.contains(['e', 'E']),
        _ => true,
    };
    if is_plain {
        return Ok(());
    }
    let mut problem = "is not a valid value";
    Check { levels: hard::JSON_DEPTH - 1, problem: &mut problem }.deserialize(value).map_err(|_| problem)
}

/// Walks through a value that may have so many more `levels` of nesting.
struct Check<'p> {
    levels: usize,
    problem: &'p mut &'static str,
}

impl Check<'_> {
    fn refuse<T, E: de::Error>(&mut self, problem: &'static str) -> Result<T, E> {
        *self.problem = problem;
        Err(E::custom(problem))
    }

    fn enter<E: de::Error>(&mut self) -> Result<(), E> {
        match self.levels.checked_sub(1) {
            Some(levels) => self.levels = levels,
            None => return self.refuse("is nested too deep"),
        }
        Ok(())
    }

    fn inner(&mut self) -> Check<'_> {
        Check { levels: self.levels, problem: self.problem }
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        self.enter()?;
        while seq.next_element_seed(self.inner())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        self.enter()?;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key_seed(Text)? {
            if names.len() >= hard::JSON_NESTED_FIELDS {
                return self.refuse("has too many keys");
            }
            if !names.insert(name) {
                return self.refuse("has a key twice");
            }
            map.next_value_seed(self.inner())?;
        }
        Ok(())
    }
}

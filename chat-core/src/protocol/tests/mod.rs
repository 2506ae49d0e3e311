//! Tests of the wire: what is read, what is written, and that the document says the same.

mod envelope;

use super::{ActionError, Envelope, Request};

/// Decodes both stages.
fn decode(text: &str) -> Result<Request, ActionError> {
    let envelope = Envelope::decode(text).map_err(|refused| refused.error)?;
    Request::decode(&envelope)
}

//! Whether an HTTP request may become a WebSocket, and what it is answered.
//!
//! No extension is ever negotiated: compression beside secrets leaks them, and its
//! bombs cost memory. Reading requests is the HTTP server's business.

use data_encoding::BASE64;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use thiserror::Error;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::origin::split_authority;
use crate::{Origins, TooMany};

/// The subprotocol that is spoken here. Clients need not offer any; it is selected where they offer it.
pub const SUBPROTOCOL: &str = "chat.v1";

/// Why a request did not become a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum Rejection {
    /// It is no HTTP request: 400.
    #[error("malformed request")]
    Malformed,
    /// It came too slowly: 408.
    #[error("request came too slowly")]
    Timeout,
    /// Its head is too long or has too many fields: 431.
    #[error("request head too large")]
    HeadTooLarge,
    /// There is nothing at its path: 404.
    #[error("no such path")]
    NotFound,
    /// Its method is not GET: 405.
    #[error("method is not GET")]
    Method,
    /// It is not HTTP/1.1: 505.
    #[error("not HTTP/1.1")]
    HttpVersion,
    /// It has no `Host`, several, or one that is none: 400.
    #[error("missing or invalid Host")]
    Host,
    /// It has a body: 400.
    #[error("request has a body")]
    Body,
    /// It does not ask to be upgraded to a WebSocket: 426.
    #[error("not a WebSocket upgrade")]
    NotUpgrade,
    /// It asks for another version of the protocol than 13: 426.
    #[error("WebSocket version is not 13")]
    WebSocketVersion,
    /// Its key is not one of 16 bytes in base64: 400.
    #[error("missing or invalid WebSocket key")]
    Key,
    /// It comes from a web page that may not connect: 403.
    #[error("origin is not allowed")]
    Origin,
    /// There are too many connections: 429.
    #[error("too many connections")]
    TooMany,
}

impl From<TooMany> for Rejection {
    fn from(_: TooMany) -> Self {
        Self::TooMany
    }
}

impl Rejection {
    /// The status that it is answered with.
    #[must_use]
    pub fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Host | Self::Body | Self::Key => StatusCode::BAD_REQUEST,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::NotUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    /// The rejection as a metric label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::HeadTooLarge => "head_too_large",
            Self::NotFound => "not_found",
            Self::Method => "method",
            Self::HttpVersion => "http_version",
            Self::Host => "host",
            Self::Body => "body",
            Self::NotUpgrade => "not_upgrade",
            Self::WebSocketVersion => "websocket_version",
            Self::Key => "key",
            Self::Origin => "origin",
            Self::TooMany => "too_many",
        }
    }

    /// The whole answer; it has no body.
    #[must_use]
    pub fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NotUpgrade | Self::WebSocketVersion => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            _ => {}
        }
        response
    }
}

/// Whether a request asks to become a WebSocket, rightly or not: what tells an upgrade of `/` from a page view.
#[must_use]
pub fn wants_upgrade(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// The answer 101 to a request that may become a WebSocket.
///
/// # Errors
/// Why it may not.
pub fn check_upgrade<T>(request: &Request<T>, origins: &Origins) -> Result<Response<()>, Rejection> {
    let headers = request.headers();
    let require = |condition: bool, rejection: Rejection| if condition { Ok(()) } else { Err(rejection) };
    require(request.method() == Method::GET, Rejection::Method)?;
    require(request.version() == Version::HTTP_11, Rejection::HttpVersion)?;
    let host = only(headers, &HOST).and_then(|value| value.to_str().ok());
    require(host.and_then(split_authority).is_some(), Rejection::Host)?;
    let empty = headers.get_all(CONTENT_LENGTH).iter().all(|length| length == "0");
    require(empty && !headers.contains_key(TRANSFER_ENCODING), Rejection::Body)?;
    require(wants_upgrade(headers) && has_token(headers, &CONNECTION, "upgrade"), Rejection::NotUpgrade)?;
    let version = only(headers, &SEC_WEBSOCKET_VERSION);
    require(version.is_some_and(|version| version == "13"), Rejection::WebSocketVersion)?;
    let key = only(headers, &SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).ok_or(Rejection::Key)?;
    require(BASE64.decode(key).is_ok_and(|decoded| decoded.len() == 16), Rejection::Key)?;
    require(origins.allow(headers), Rejection::Origin)?;

    let accept = HeaderValue::try_from(derive_accept_key(key)).map_err(|_| Rejection::Key)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if offers_subprotocol(headers) {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

/// The value of a field that may stand only once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether the client offers what is spoken here. Names of subprotocols are compared with their case. A client that
/// offers others only gets none selected: a browser then gives up, as it should.
fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|name| name.trim() == SUBPROTOCOL)
}

/// Whether a list of tokens, over all its lines, has this one.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

//! What the server answers: frames with `success`, and the results of the actions.
//!
//! A result is a struct with the fields of its action's reply. An action that has nothing to say answers [`Done`].

mod account;
mod message;
mod room;

pub use account::{
    AuthenticateReply, LoginReply, PresenceReply, PresenceView, SessionView, SessionsReply, UserReply,
    UserView, UsersReply,
};
pub use message::{
    HistoryReply, MarkReadReply, MessageView, OtherConversation, SendReply, SyncConversation, SyncReply,
    SyncState,
};
pub use room::{
    ChatListReply, ChatView, CreateRoomReply, GetRoomReply, JoinRoomReply, MemberView, Membership,
    OpenPrivateChatReply, ReadingView, RoomListReply, RoomView,
};

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::{ActionError, Code, RequestId, UnauthenticatedReason};
use crate::hub::Frame;
use crate::time::Timestamp;

/// The reply to a request that succeeded. `result` must be a JSON object: its fields become those of the reply.
///
/// A result that is no object, which only an application's own action can have, is answered as `internal`.
#[must_use]
pub fn success(request_id: Option<&RequestId>, result: &impl Serialize) -> Frame {
    let mut json = begin("{\"success\":true", request_id).into_bytes();
    let start = json.len();
    let is_object = serde_json::to_writer(&mut json, result).is_ok() && json.get(start) == Some(&b'{');
    if !is_object {
        return failure(request_id, &ActionError::internal());
    }
    if json.len() == start + "{}".len() {
        json.truncate(start);
        json.push(b'}');
    } else {
        // The result's own brace becomes the comma behind the fields that every reply has.
        json[start] = b',';
    }
    Frame::new(String::from_utf8(json).expect("serde_json writes UTF-8"))
}

/// The reply to a request that was refused.
#[must_use]
pub fn failure(request_id: Option<&RequestId>, error: &ActionError) -> Frame {
    let mut json = begin("{\"success\":false", request_id);
    let fields = FailureFields {
        code: error.code,
        message: &error.message,
        field: error.field.as_deref(),
        reason: error.reason.map(UnauthenticatedReason::as_str),
        retry_after_ms: error.retry_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
    };
    let fields = serde_json::to_string(&fields).expect("texts and numbers serialise");
    json.push(',');
    json.push_str(&fields[1..]);
    Frame::new(json)
}

fn begin(start: &str, request_id: Option<&RequestId>) -> String {
    let mut json = String::with_capacity(256);
    json.push_str(start);
    if let Some(request_id) = request_id {
        json.push_str(",\"request_id\":");
        json.push_str(request_id.as_json());
    }
    json
}

#[derive(Serialize)]
struct FailureFields<'a> {
    #[serde(serialize_with = "code")]
    code: Code,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// Nothing but success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Done {}

/// `ping`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PongReply {
    /// Always true.
    pub pong: bool,
    /// The server's clock.
    pub server_time: Timestamp,
}

impl PongReply {
    /// The answer at this time.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { pong: true, server_time: now }
    }
}

fn code<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(code.as_str())
}

pub(super) fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

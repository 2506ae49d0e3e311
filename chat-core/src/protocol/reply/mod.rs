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

use super::RequestId;
use crate::error::{ActionError, Code, UnauthenticatedReason};
use crate::frame::Frame;
use crate::limits::hard;
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
        // A hook or an action of the application may say anything.
        message: beginning(&error.message, MESSAGE_BYTES),
        field: error.field.as_deref().map(|field| beginning(field, MESSAGE_BYTES)),
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

/// Bytes of a refusal's message, and of the name of a field.
const MESSAGE_BYTES: usize = 4_096;

/// How many bytes a text takes between the quotes of a JSON string.
pub(crate) fn escaped_bytes(text: &str) -> usize {
    text.bytes().map(escaped_byte).sum()
}

/// As much of a text as takes at most `bytes` in a JSON string.
fn beginning(text: &str, mut bytes: usize) -> &str {
    for (start, character) in text.char_indices() {
        let needed = character.encode_utf8(&mut [0; 4]).bytes().map(escaped_byte).sum();
        match bytes.checked_sub(needed) {
            Some(left) => bytes = left,
            None => return &text[..start],
        }
    }
    text
}

fn escaped_byte(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 2,
        0..0x20 => 6,
        0x20..=u8::MAX => 1,
    }
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

/// The name of a user, as whoever keeps the accounts says it.
fn username<S: Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(beginning(name, hard::USERNAME_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DisplayName, Profile};
    use crate::id::UserId;

    #[test]
    fn escapes_are_counted_as_they_are_written() {
        for character in (0..=0x2fff).filter_map(char::from_u32).chain(['\u{feff}', '\u{10ffff}']) {
            let written = serde_json::to_string(&character).unwrap();
            assert_eq!(escaped_bytes(&character.to_string()) + 2, written.len(), "{character:?}");
        }
    }

    #[test]
    fn texts_end_where_there_is_no_more_room() {
        assert_eq!(beginning("a\u{1}b", 7), "a\u{1}");
        assert_eq!(beginning("a\u{1}b", 6), "a");
        assert_eq!(beginning("字字", 5), "字");
        assert_eq!(beginning("字字", 6), "字字");
    }

    #[test]
    fn sec_56_what_an_application_says_is_cut_to_fit_into_a_frame() {
        for said in ["\u{1}", "\"", "字"].map(|character| character.repeat(hard::OUTGOING_FRAME_BYTES)) {
            let refusal = ActionError::invalid(said.clone(), said.clone());
            assert!(failure(None, &refusal).len() <= hard::REPLY_BYTES);
            let display_name = DisplayName::new("x".repeat(hard::DISPLAY_NAME_CHARACTERS)).unwrap();
            let last_seen = Some(Timestamp::default());
            let profile = Profile { user_id: UserId::generate(), username: said, display_name, last_seen };
            let users = vec![UserView::from(profile); hard::USER_IDS];
            let reply = success(None, &UsersReply { users });
            assert!(reply.text().starts_with("{\"success\":true") && reply.len() <= hard::REPLY_BYTES);
        }
    }
}

//! What each action of protocol v1 does and answers: one file for each noun, one method for each action.
//!
//! The work is done by the typed API; here its results become replies. Which reply an action has, the table of the
//! protocol says.

mod account;
mod message;
mod open;
mod presence;
mod private_chat;
mod room;
mod sync;

use std::sync::Arc;

pub(super) use message::new_message;
use serde::Serialize;

use super::Chat;
use super::connection::{Caller, Shared};
use super::hook::ActionContext;
use super::user::User;
use crate::error::{ActionError, UnauthenticatedReason};
use crate::frame::Frame;
use crate::limits::hard;
use crate::port::ClientContext;
use crate::protocol::request::Effect;
use crate::protocol::table::{AnswersSend as _, Encodes};
use crate::protocol::{Request, RequestId, failure, success};

/// What metrics call the actions of applications.
pub(super) const APPLICATION: &str = "application";

/// What a frame asks for.
pub(super) enum Requested {
    /// An action of protocol v1.
    Protocol(Request),
    /// An action of the application, by its name.
    Application {
        /// Its name.
        name: String,
        /// The request's fields.
        fields: serde_json::Map<String, serde_json::Value>,
    },
}

impl Requested {
    /// The name for metrics: those of applications are not told apart.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Protocol(request) => request.action_name(),
            Self::Application { .. } => APPLICATION,
        }
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self, Self::Protocol(Request::Send(_)))
    }

    /// What anybody may ask.
    pub(super) fn is_open_to_anybody(&self) -> bool {
        matches!(self, Self::Protocol(Request::Open(_)))
    }

    /// Requests that change who is signed in: nothing else is read until they are answered.
    pub(super) fn is_signing_in(&self) -> bool {
        matches!(self, Self::Protocol(request) if request.effect() == Effect::SignsIn)
    }
}

/// A request that is being worked on.
#[derive(Debug, Clone)]
pub(super) struct Call {
    chat: Chat,
    shared: Arc<Shared>,
    request_id: Option<RequestId>,
}

impl Call {
    pub(super) fn new(chat: Chat, shared: Arc<Shared>, request_id: Option<RequestId>) -> Self {
        Self { chat, shared, request_id }
    }

    pub(super) fn chat(&self) -> &Chat {
        &self.chat
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn request_id(&self) -> Option<&RequestId> {
        self.request_id.as_ref()
    }

    pub(super) fn reply(&self, frame: Frame) {
        self.shared.outbox.reply(frame);
    }

    pub(super) fn done(&self, result: &impl Serialize) -> Frame {
        let frame = success(self.request_id(), result);
        if frame.len() > hard::OUTGOING_FRAME_BYTES {
            // Those of the protocol fit by construction; one of the application's would not fit next time either.
            tracing::error!(bytes = frame.len(), "a reply is larger than a frame may be");
            return failure(self.request_id(), &ActionError::limit_exceeded("The answer is too long"));
        }
        frame
    }

    fn client(&self, device: Option<crate::domain::DeviceName>) -> ClientContext {
        ClientContext { address: self.shared.peer.address, device }
    }
}

/// Whoever asks what anybody may; `caller` is signed in already.
struct Anybody<'a> {
    call: &'a Call,
    caller: Option<Caller>,
}

/// A user who is signed in and asks for something.
struct Requester<'a> {
    call: &'a Call,
    caller: Caller,
    user: User,
}

impl Encodes for Anybody<'_> {
    fn encode(&self, reply: &impl Serialize) -> Frame {
        self.call.done(reply)
    }
}

impl Encodes for Requester<'_> {
    fn encode(&self, reply: &impl Serialize) -> Frame {
        self.call.done(reply)
    }
}

/// Does what is asked and encodes the reply.
pub(super) async fn answer(
    call: &Call,
    requested: Requested,
    caller: Option<Caller>,
) -> Result<Frame, ActionError> {
    let requester = || {
        let caller = caller.ok_or_else(|| ActionError::unauthenticated(UnauthenticatedReason::Missing))?;
        Ok::<_, ActionError>(Requester { call, caller, user: call.chat.as_user(caller.user_id) })
    };
    let request = match requested {
        Requested::Protocol(request) => request,
        Requested::Application { name, fields } => return requester()?.own_action(&name, fields).await,
    };
    match request {
        Request::Open(request) => request.answer(&Anybody { call, caller }).await,
        Request::Send(message) => Ok(call.done(&requester()?.send(message).await?)),
        Request::Account(request) => request.answer(&requester()?).await,
        Request::Room(request) => request.answer(&requester()?).await,
        Request::PrivateChat(request) => request.answer(&requester()?).await,
        Request::Message(request) => request.answer(&requester()?).await,
        Request::Sync(request) => request.answer(&requester()?).await,
        Request::Presence(request) => request.answer(&requester()?).await,
    }
}

impl Requester<'_> {
    async fn own_action(
        &self,
        name: &str,
        fields: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Frame, ActionError> {
        let chat = self.call.chat.clone();
        let action = chat.engine.actions.get(name).cloned().ok_or_else(ActionError::not_found)?;
        let Caller { user_id, session_id } = self.caller;
        let context = ActionContext { chat, user_id, session_id };
        Ok(self.call.done(&action.handle(context, fields).await?))
    }
}

/// The first items of a list that fit into a frame; every item of the protocol does.
fn fitting<T: Serialize>(mut items: Vec<T>, has_more: &mut bool) -> Vec<T> {
    let mut room = hard::PAGE_BYTES;
    let fits = |item: &T| {
        // With its comma.
        let bytes = serde_json::to_vec(item).map_or(usize::MAX, |json| json.len() + 1);
        let left = room.checked_sub(bytes);
        room = left.unwrap_or(0);
        left.is_some()
    };
    let kept = items.iter().map(fits).take_while(|fits| *fits).count();
    if kept < items.len() {
        items.truncate(kept);
        *has_more = true;
    }
    items
}

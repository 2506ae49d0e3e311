//! From a frame to its reply: decoding, admission, and the list of what each action does.

use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::time::Instant;

use super::Chat;
use super::answer::{APPLICATION, Call, Requested, answer, new_message};
use super::connection::{Asking, Caller, InProgress, Inbound, Shared};
use super::sequencer::Reply;
use crate::error::{ActionError, Code};
use crate::frame::Frame;
use crate::hub::DisconnectReason;
use crate::protocol::reply::SendReply;
use crate::protocol::request::{ACTIONS, SendMessage};
use crate::protocol::{Envelope, Request, RequestId, failure, success};

/// The answers that tell of a server in trouble.
const TROUBLE: [Code; 3] = [Code::Unavailable, Code::Timeout, Code::Internal];

/// Takes one frame; its reply is queued now or later.
pub(super) fn accept(inbound: &mut Inbound, text: &str) {
    if inbound.shared.outbox.closed().is_some() {
        return;
    }
    let engine = inbound.chat.engine.clone();
    // A shutdown waits for it as for the tasks, of which there may be none until this has begun one.
    let _accepting = engine.tasks.token();
    // Taken by a reader who looked just before the shutdown began. Nothing of it is stored, so it needs no answer.
    if engine.is_draining() {
        return;
    }
    let envelope = match Envelope::decode(text) {
        Ok(envelope) => envelope,
        Err(refused) => {
            let is_unreadable = refused.is_unreadable();
            let error = inbound.admit(false).err().unwrap_or(refused.error);
            inbound.refuse("unreadable", refused.request_id.as_ref(), &error);
            if is_unreadable && inbound.unreadable.trips() {
                inbound.disconnect(DisconnectReason::Unreadable);
            }
            return;
        }
    };
    let call = Call::new(inbound.chat.clone(), inbound.shared.clone(), envelope.request_id().cloned());
    let requested = match decode(&inbound.chat, &envelope) {
        Ok(requested) => requested,
        Err(error) => {
            let error = inbound.admit(false).err().unwrap_or(error);
            return inbound.refuse("undecodable", call.request_id(), &error);
        }
    };
    if let Err(error) = inbound.admit(requested.is_message()) {
        return refuse_by_rate(inbound, call, requested, error);
    }
    if requested.is_open_to_anybody() {
        return spawn(call, requested, Identified::No);
    }
    match inbound.shared.asking(envelope.token(), inbound.chat.engine.clock.now()) {
        Asking::Known(caller) => {
            if let Requested::Protocol(Request::Send(message)) = requested {
                send(inbound, call, caller, message);
            } else {
                spawn(call, requested, Identified::As(caller));
            }
        }
        Asking::Token(bound) => {
            let token = envelope.token().unwrap_or_default().to_owned();
            spawn(call, requested, Identified::By { token, bound });
        }
        Asking::Nobody(reason) => {
            let error = ActionError::unauthenticated(reason);
            inbound.refuse(requested.name(), call.request_id(), &error);
        }
    }
}

fn decode(chat: &Chat, envelope: &Envelope<'_>) -> Result<Requested, ActionError> {
    match Request::decode(envelope) {
        Ok(request) => Ok(Requested::Protocol(request)),
        Err(error) if error.code == Code::UnknownAction => {
            let name = envelope.action();
            if !chat.engine.actions.contains_key(name) {
                return Err(error);
            }
            Ok(Requested::Application { name: name.to_owned(), fields: envelope.fields_json()? })
        }
        Err(error) => Err(error),
    }
}

impl Inbound {
    /// Counts one request against the rate of the user, or of the connection while there is none.
    fn admit(&self, is_message: bool) -> Result<(), ActionError> {
        let engine = &self.chat.engine;
        let admitted = match self.shared.caller() {
            Some(caller) if is_message => engine.send_rate.check(&caller.user_id),
            Some(caller) => engine.request_rate.check(&caller.user_id),
            None => engine.connection_rate.check(&self.shared.id),
        };
        admitted.map_err(ActionError::rate_limited)
    }

    /// Answers a request that was not worked on.
    fn refuse(&mut self, action: &'static str, request_id: Option<&RequestId>, error: &ActionError) {
        count(action, Some(error));
        self.shared.outbox.reply(failure(request_id, error));
        if error.code == Code::RateLimited {
            self.count_refusal();
        }
    }

    fn count_refusal(&mut self) {
        let is_flood = self.refused.trips();
        if self.refused.is_first() {
            record_security_event("rate_limited", &self.shared);
        }
        if is_flood {
            record_security_event("flooding", &self.shared);
            self.disconnect(DisconnectReason::Flood);
        }
    }
}

/// Answers a request above the rate. A message that was stored before gets its first result all the same.
fn refuse_by_rate(inbound: &mut Inbound, call: Call, requested: Requested, error: ActionError) {
    let action = requested.name();
    let message = match requested {
        Requested::Protocol(Request::Send(message)) => new_message(message).ok(),
        Requested::Protocol(_) | Requested::Application { .. } => None,
    };
    let keyed = message.filter(|(_, message)| message.client_id.is_some());
    let Some(((named, message), caller)) = keyed.zip(inbound.shared.caller()) else {
        return inbound.refuse(action, call.request_id(), &error);
    };
    inbound.count_refusal();
    let progress = InProgress::begin(&inbound.shared, false);
    let user = inbound.chat.as_user(caller.user_id);
    let request_id = call.request_id().cloned();
    answer_later(call, action, progress, async move {
        let sent = user.sent_before(named, &message).await.ok_or(error)?;
        Ok(success(request_id.as_ref(), &sent))
    });
}

/// Queues a message in its conversation, at once: messages of a connection keep their order.
fn send(inbound: &mut Inbound, call: Call, caller: Caller, message: SendMessage) {
    let action = message.action_name();
    let (named, message) = match new_message(message) {
        Ok(message) => message,
        Err(error) => return inbound.refuse(action, call.request_id(), &error),
    };
    let progress = InProgress::begin(&inbound.shared, false);
    let began_at = Instant::now();
    let reply = Reply::new(move |outcome| {
        let outcome = outcome.and_then(|entry| entry.ok_or_else(ActionError::internal));
        finish(
            &call,
            action,
            began_at,
            outcome.map(|entry| success(call.request_id(), &SendReply::from(&*entry))),
        );
        drop(progress);
    });
    inbound.chat.as_user(caller.user_id).submit_message(named, message, reply);
}

/// Who a request that is worked on in a task comes from.
enum Identified {
    /// Anybody.
    No,
    /// The user who is signed in.
    As(Caller),
    /// Whom this token stands for; `bound` is signed in already.
    By { token: String, bound: Option<Caller> },
}

/// Works on a request in a task of its own: the transport never waits, and a client that leaves interrupts nothing.
fn spawn(call: Call, requested: Requested, identified: Identified) {
    let is_signing_in = requested.is_signing_in() || matches!(identified, Identified::By { .. });
    let progress = InProgress::begin(call.shared(), is_signing_in);
    let worked_on = call.clone();
    answer_later(
        call,
        requested.name(),
        progress,
        async move { work(&worked_on, requested, identified).await },
    );
}

/// Answers when `work` is done. If that panics, the connection ends and nothing else.
fn answer_later(
    call: Call,
    action: &'static str,
    progress: InProgress,
    work: impl Future<Output = Result<Frame, ActionError>> + Send + 'static,
) {
    let tasks = call.chat().engine.tasks.clone();
    tasks.spawn(async move {
        let began_at = Instant::now();
        match AssertUnwindSafe(work).catch_unwind().await {
            Ok(outcome) => finish(&call, action, began_at, outcome),
            Err(_panic) => {
                tracing::error!(connection = %call.shared().id, action, "a request panicked");
                finish(&call, action, began_at, Err(ActionError::internal()));
                call.shared().outbox.close(DisconnectReason::Panic);
                // If the client has left already, nobody else would.
                call.shared().unbind(&call.chat().engine);
            }
        }
        drop(progress);
    });
}

async fn work(call: &Call, requested: Requested, identified: Identified) -> Result<Frame, ActionError> {
    let caller = match identified {
        Identified::No => call.shared().caller(),
        Identified::As(caller) => Some(caller),
        Identified::By { token, bound } => {
            let identity = call.shared().sign_in(&call.chat().engine, &token, bound).await?;
            Some(Caller { user_id: identity.user_id, session_id: identity.session_id })
        }
    };
    answer(call, requested, caller).await
}

fn finish(call: &Call, action: &'static str, began_at: Instant, outcome: Result<Frame, ActionError>) {
    metrics::histogram!("chat_action_seconds", "action" => action).record(began_at.elapsed().as_secs_f64());
    count(action, outcome.as_ref().err());
    if outcome.as_ref().is_err_and(|error| error.code == Code::Forbidden) {
        record_security_event("denied", call.shared());
    }
    call.reply(outcome.unwrap_or_else(|error| failure(call.request_id(), &error)));
}

/// Logs and counts what somebody tried who may not, as `PasswordAuth` does with what happens to accounts.
fn record_security_event(event: &'static str, shared: &Shared) {
    metrics::counter!("chat_security_events_total", "event" => event).increment(1);
    let user_id = shared.caller().map(|caller| tracing::field::display(caller.user_id));
    let address = shared.peer.address.map(tracing::field::display);
    tracing::info!(target: "chat_core::security", event, user_id, address, "security event");
}

/// Lets the counts that alarms look at begin at zero. A counter that is missing until its first event hides that
/// event from an alarm on its increase.
pub(super) fn begin_counts() {
    for &action in ACTIONS.iter().chain(&[APPLICATION]) {
        for code in TROUBLE.map(Code::as_str).into_iter().chain(["ok"]) {
            metrics::counter!("chat_actions_total", "action" => action, "code" => code).increment(0);
        }
    }
}

fn count(action: &'static str, error: Option<&ActionError>) {
    let code = error.map_or("ok", |error| error.code.as_str());
    metrics::counter!("chat_actions_total", "action" => action, "code" => code).increment(1);
}

//! What each action of protocol v1 does and answers: one line or one function each.
//!
//! The work is done by the typed API; here its results become replies.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt as _;
use secrecy::ExposeSecret as _;
use serde::Serialize;

use super::Chat;
use super::action::{CONVERSATION_BYTES, HistoryRequest, NewMessage, NewRoom};
use super::connection::{Caller, Shared};
use super::dispatch::Asked;
use super::engine::Engine;
use super::hook::ActionContext;
use super::operation::ConversationRef;
use super::user::User;
use crate::domain::SessionInfo;
use crate::error::{ActionError, AuthError, UnauthenticatedReason};
use crate::frame::Frame;
use crate::id::SessionId;
use crate::limits::hard;
use crate::port::{Auth, ClientContext, Credentials, Registration};
use crate::protocol::reply::{
    AuthenticateReply, ChatListReply, ChatView, CreateRoomReply, Done, GetRoomReply, HistoryReply,
    JoinRoomReply, LoginReply, MarkReadReply, MemberView, OpenPrivateChatReply, OtherConversation, PongReply,
    PresenceReply, RoomListReply, RoomView, SessionView, SessionsReply, SyncConversation, SyncReply,
    UserReply, UsersReply, escaped_bytes,
};
use crate::protocol::request::{
    ChangePassword, ConversationSelector, CreateRoom, GetRoom, History, ListPrivateChats, ListRooms,
    ListSessions, Login, MarkRead, OpenPrivateChat, RefreshToken, Register, RevokeSession, RoomScope, Sync,
    UpdateProfile,
};
use crate::protocol::{Request, RequestId, entry_push, failure, success};

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

    /// The message that a request sends; `None` if it is another request.
    pub(super) fn message(
        &self,
        request: &Request,
    ) -> Result<Option<(ConversationRef, NewMessage)>, ActionError> {
        let (named, content, kind, client_id, receiver) = match request {
            Request::SendRoomMessage(send) => {
                let named = ConversationRef::Room(send.room_id.resolve()?);
                (named, &send.content, send.kind, &send.client_id, None)
            }
            Request::SendPrivateMessage(send) => {
                let named = ConversationRef::PrivateChat(send.chat_id.resolve()?);
                (named, &send.content, send.kind, &send.client_id, send.receiver_id)
            }
            _ => return Ok(None),
        };
        let receiver = receiver.map(|receiver| receiver.resolve()).transpose();
        let receiver = receiver
            .map_err(|_| ActionError::invalid("receiver_id", "is not the other user of this chat"))?;
        let message = NewMessage { content: content.clone(), kind, client_id: client_id.clone(), receiver };
        Ok(Some((named, message)))
    }

    fn done(&self, result: &impl Serialize) -> Frame {
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

/// Does what is asked and encodes the reply.
pub(super) async fn answer(call: &Call, asked: Asked, caller: Option<Caller>) -> Result<Frame, ActionError> {
    let request = match asked {
        Asked::Protocol(Request::Register(register)) => return self::register(call, register).await,
        Asked::Protocol(Request::Login(login)) => return self::login(call, login).await,
        Asked::Protocol(Request::RefreshToken(refresh)) => return self::refresh(call, refresh).await,
        Asked::Protocol(Request::Authenticate(authenticate)) => {
            return self::authenticate(call, authenticate.token.expose_secret(), caller).await;
        }
        Asked::Protocol(Request::Ping(_)) => {
            return Ok(call.done(&PongReply::new(call.chat.engine.clock.now())));
        }
        Asked::Protocol(request) => Ok(request),
        Asked::Application { name, fields } => Err((name, fields)),
    };
    let missing = || ActionError::unauthenticated(UnauthenticatedReason::Missing);
    let caller = caller.ok_or_else(missing)?;
    match request {
        Ok(request) => answer_signed_in(call, request, caller).await,
        Err((name, fields)) => {
            let action = call.chat.engine.actions.get(&name).cloned().ok_or_else(ActionError::not_found)?;
            let Caller { user_id, session_id } = caller;
            let context = ActionContext { chat: call.chat.clone(), user_id, session_id };
            Ok(call.done(&action.handle(context, fields).await?))
        }
    }
}

async fn answer_signed_in(call: &Call, request: Request, caller: Caller) -> Result<Frame, ActionError> {
    let user = call.chat.as_user(caller.user_id);
    match request {
        // What anybody may ask is answered before.
        Request::Register(_)
        | Request::Login(_)
        | Request::RefreshToken(_)
        | Request::Authenticate(_)
        | Request::Ping(_) => Err(ActionError::internal()),
        Request::Logout(_) => logout(call, caller).await,
        Request::ListSessions(list) => list_sessions(call, caller, list).await,
        Request::RevokeSession(revoke) => revoke_session(call, caller, revoke).await,
        Request::ChangePassword(change) => change_password(call, caller, change).await,
        Request::UpdateProfile(update) => update_profile(call, &user, update).await,
        Request::CreateRoom(create) => create_room(call, &user, create).await,
        Request::JoinRoom(room) => {
            let room_id = room.room_id.resolve()?;
            Ok(call.done(&JoinRoomReply { room_id, since_seq: user.join_room(room_id).await? }))
        }
        Request::LeaveRoom(room) => done(call, user.leave_room(room.room_id.resolve()?).await),
        Request::GetRoom(get) => get_room(call, &user, get).await,
        Request::ListRooms(list) => list_rooms(call, &user, list).await,
        Request::ListPrivateChats(list) => list_private_chats(call, &user, list).await,
        Request::InviteMember(of) => {
            done(call, user.invite_member(of.room_id.resolve()?, of.user_id.resolve()?).await)
        }
        Request::RemoveMember(of) => {
            done(call, user.remove_member(of.room_id.resolve()?, of.user_id.resolve()?).await)
        }
        Request::BanMember(of) => {
            done(call, user.ban_member(of.room_id.resolve()?, of.user_id.resolve()?).await)
        }
        Request::UnbanMember(of) => {
            done(call, user.unban_member(of.room_id.resolve()?, of.user_id.resolve()?).await)
        }
        Request::SetRole(set) => {
            done(call, user.set_role(set.room_id.resolve()?, set.user_id.resolve()?, set.role).await)
        }
        Request::UpdateRoom(update) => {
            done(call, user.update_room(update.room_id.resolve()?, update.room_name, update.topic).await)
        }
        Request::OpenPrivateChat(open) => open_private_chat(call, &user, open).await,
        Request::SendRoomMessage(_) | Request::SendPrivateMessage(_) => {
            let (named, message) = call.message(&request)?.ok_or_else(ActionError::internal)?;
            Ok(call.done(&user.send_message(named, message).await?))
        }
        Request::GetRoomMessages(history) => get_messages(call, &user, history, ConversationRef::Room).await,
        Request::GetPrivateMessages(history) => {
            get_messages(call, &user, history, ConversationRef::PrivateChat).await
        }
        Request::Sync(request) => sync(call, &user, request).await,
        Request::MarkRead(mark) => mark_read(call, &user, mark).await,
        Request::Typing(typing) => done(call, user.typing(named(typing.conversation)?).await),
        Request::SetStatus(set) => {
            user.set_status(set.status);
            Ok(call.done(&Done {}))
        }
        Request::GetPresence(users) => {
            let users = user.presence(users.user_ids.into_vec()).await?;
            Ok(call.done(&PresenceReply { users: users.into_iter().map(Into::into).collect() }))
        }
        Request::GetUsers(users) => {
            let users = user.profiles(users.user_ids.into_vec()).await?;
            Ok(call.done(&UsersReply { users: users.into_iter().map(Into::into).collect() }))
        }
    }
}

fn done(call: &Call, result: Result<(), ActionError>) -> Result<Frame, ActionError> {
    result.map(|()| call.done(&Done {}))
}

fn named(selector: ConversationSelector) -> Result<ConversationRef, ActionError> {
    match selector {
        ConversationSelector::Room(id) => id.resolve().map(ConversationRef::Room),
        ConversationSelector::Chat(id) => id.resolve().map(ConversationRef::PrivateChat),
    }
}

async fn register(call: &Call, register: Register) -> Result<Frame, ActionError> {
    let engine = &call.chat.engine;
    let Register { username, password, email, display_name } = register;
    let registration = Registration { username, password, email, display_name };
    let user_id = engine.change(engine.auth.register(registration, &call.client(None))).await?;
    Ok(call.done(&UserReply { user_id }))
}

async fn login(call: &Call, login: Login) -> Result<Frame, ActionError> {
    let engine = &call.chat.engine;
    let credentials = Credentials { username: login.username, password: login.password };
    let ends = engine.ends();
    let grant = engine.change(engine.auth.login(credentials, &call.client(login.device))).await?;
    let bound = call.shared.bind(engine, &grant.identity, grant.token.expose_secret(), ends).await;
    if let Err(refused) = bound {
        // Nobody will ever have the tokens of this session; if it cannot be ended it expires. The refusal does
        // not wait for that: the connection may be closing.
        let (engine, user, session) = (engine.clone(), grant.identity.user_id, grant.identity.session_id);
        let tasks = engine.tasks.clone();
        tasks.spawn(async move { drop(engine.change(engine.auth.end_session(user, session)).await) });
        return Err(refused);
    }
    Ok(call.done(&LoginReply::from(grant)))
}

async fn refresh(call: &Call, refresh: RefreshToken) -> Result<Frame, ActionError> {
    let engine = &call.chat.engine;
    let grant = engine.change(engine.auth.refresh(&refresh.refresh_token, &call.client(None))).await?;
    Ok(call.done(&LoginReply::from(grant)))
}

async fn authenticate(call: &Call, token: &str, bound: Option<Caller>) -> Result<Frame, ActionError> {
    let engine = &call.chat.engine;
    let identity = call.shared.sign_in(engine, token, bound).await?;
    Ok(call.done(&AuthenticateReply::new(&identity, engine.clock.now())))
}

/// Replies, leaves this socket open with nobody signed in, and closes the others of the session.
async fn logout(call: &Call, caller: Caller) -> Result<Frame, ActionError> {
    let shared = call.shared.clone();
    let end = move |auth: Arc<dyn Auth>| {
        async move {
            match auth.end_session(caller.user_id, caller.session_id).await {
                // Where sessions are the host's, or it has ended already, signing out is only leaving.
                Err(AuthError::Unsupported | AuthError::NotFound) => Ok(()),
                ended => ended,
            }
        }
        .boxed()
    };
    let then = move |engine: &Engine, (): &()| {
        // Late, somebody else may have signed in here.
        if shared.caller() == Some(caller) {
            shared.unbind(engine);
        }
        engine.end(caller.user_id, Some(caller.session_id), Some(shared.id));
    };
    call.chat.engine.change_and(end, then).await?;
    Ok(call.done(&Done {}))
}

async fn list_sessions(call: &Call, caller: Caller, list: ListSessions) -> Result<Frame, ActionError> {
    let engine = &call.chat.engine;
    let mut sessions = engine.ask(engine.auth.sessions(caller.user_id)).await?;
    if let Some(after) = list.after {
        let after = after.resolve()?;
        let is_after = |session: &SessionInfo| session.session_id == after;
        let index = sessions.iter().position(is_after).ok_or_else(ActionError::not_found)?;
        sessions.drain(..=index);
    }
    let limit = list.limit.map_or(usize::MAX, |limit| limit.get() as usize);
    let mut has_more = sessions.len() > limit;
    let views = sessions.into_iter().take(limit).map(|session| SessionView::new(session, caller.session_id));
    let sessions = fitting(views.collect(), &mut has_more);
    let next_after = sessions.last().filter(|_| has_more).map(|session| session.session_id);
    Ok(call.done(&SessionsReply { sessions, next_after }))
}

async fn revoke_session(call: &Call, caller: Caller, revoke: RevokeSession) -> Result<Frame, ActionError> {
    let session = revoke.session_id.resolve()?;
    if session == caller.session_id {
        return logout(call, caller).await;
    }
    call.chat.end_session(caller.user_id, session).await?;
    Ok(call.done(&Done {}))
}

async fn change_password(call: &Call, caller: Caller, change: ChangePassword) -> Result<Frame, ActionError> {
    let Caller { user_id, session_id } = caller;
    let ChangePassword { old_password, new_password, .. } = change;
    let change = move |auth: Arc<dyn Auth>| {
        async move { auth.change_password(user_id, session_id, old_password, new_password).await }.boxed()
    };
    let then = move |engine: &Engine, ended: &Vec<SessionId>| {
        for session in ended {
            engine.end(user_id, Some(*session), None);
        }
    };
    call.chat.engine.change_and(change, then).await?;
    Ok(call.done(&Done {}))
}

async fn update_profile(call: &Call, user: &User, update: UpdateProfile) -> Result<Frame, ActionError> {
    if let Some(name) = update.display_name {
        user.set_display_name(name).await?;
    }
    Ok(call.done(&UserReply { user_id: user.id() }))
}

async fn create_room(call: &Call, user: &User, create: CreateRoom) -> Result<Frame, ActionError> {
    let room = NewRoom { name: create.room_name, topic: create.topic, visibility: create.visibility };
    let room = user.create_room(room).await?;
    Ok(call.done(&CreateRoomReply { room_id: room.id }))
}

async fn get_room(call: &Call, user: &User, get: GetRoom) -> Result<Frame, ActionError> {
    let after = get.after.map(|after| after.resolve()).transpose()?;
    let view = user.room(get.room_id.resolve()?, after, get.limit.get()).await?;
    let room = RoomView::new(&view.conversation, Some(&view.member)).ok_or_else(ActionError::not_found)?;
    let next_after = view.members.last().filter(|_| view.has_more).map(|member| member.user_id);
    let members = view.members.iter().map(MemberView::from).collect();
    Ok(call.done(&GetRoomReply { room, members, next_after }))
}

async fn list_rooms(call: &Call, user: &User, list: ListRooms) -> Result<Frame, ActionError> {
    let after = list.after.map(|after| after.resolve()).transpose()?;
    let limit = list.limit.get();
    let (rooms, mut has_more): (Vec<_>, _) = match list.scope {
        RoomScope::Mine => {
            let (rooms, has_more) = user.rooms(after, limit).await?;
            (rooms.iter().filter_map(RoomView::mine).collect(), has_more)
        }
        RoomScope::Public => {
            let query = list.query.unwrap_or_default();
            let (rooms, has_more) = user.discover_rooms(&query, after, limit).await?;
            (rooms.iter().filter_map(|room| RoomView::new(room, None)).collect(), has_more)
        }
    };
    let rooms = fitting(rooms, &mut has_more);
    let next_after = rooms.last().filter(|_| has_more).map(|room| room.room_id);
    Ok(call.done(&RoomListReply { rooms, next_after }))
}

async fn list_private_chats(call: &Call, user: &User, list: ListPrivateChats) -> Result<Frame, ActionError> {
    let after = list.after.map(|after| after.resolve()).transpose()?;
    let (chats, mut has_more) = user.private_chats(after, list.limit.get()).await?;
    let chats = fitting(chats.iter().filter_map(ChatView::mine).collect(), &mut has_more);
    let next_after = chats.last().filter(|_| has_more).map(|chat| chat.chat_id);
    Ok(call.done(&ChatListReply { chats, next_after }))
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

async fn open_private_chat(call: &Call, user: &User, open: OpenPrivateChat) -> Result<Frame, ActionError> {
    let by_name = matches!(open, OpenPrivateChat::Username(_));
    let peer = match open {
        OpenPrivateChat::UserId(id) => id.resolve()?,
        OpenPrivateChat::Username(name) => user.find_user(&name).await?,
    };
    let chat = user.open_private_chat(peer).await.map_err(|error| match error.field {
        Some(_) if by_name => ActionError { field: Some("username".into()), ..error },
        _ => error,
    })?;
    Ok(call.done(&OpenPrivateChatReply { chat_id: chat.id, user_id: peer }))
}

async fn get_messages(
    call: &Call,
    user: &User,
    history: History,
    kind: fn(crate::id::ConversationId) -> ConversationRef,
) -> Result<Frame, ActionError> {
    let named = kind(history.conversation.resolve()?);
    let request = HistoryRequest { anchor: history.anchor, limit: history.limit.get() };
    let (page, context) = user.history_in(named, request).await?;
    Ok(call.done(&HistoryReply::new(&page, context)))
}

async fn mark_read(call: &Call, user: &User, mark: MarkRead) -> Result<Frame, ActionError> {
    let read_seq = user.mark_read_from(named(mark.conversation)?, mark.seq, Some(call.shared.id)).await?;
    Ok(call.done(&MarkReadReply { read_seq }))
}

async fn sync(call: &Call, user: &User, request: Sync) -> Result<Frame, ActionError> {
    let cursors: BTreeMap<_, _> = request.cursors.known.into_iter().collect();
    let malformed_bytes = |id: &String| escaped_bytes(id) + CONVERSATION_BYTES;
    let malformed_bytes: usize = request.cursors.malformed.iter().map(malformed_bytes).sum();
    let reply_bytes = hard::REPLY_BYTES.saturating_sub(malformed_bytes);
    let page = user.sync_within(&cursors, request.epoch.as_deref(), reply_bytes).await?;
    let malformed = request.cursors.malformed.into_iter().map(|id| (id, SyncConversation::gone()));
    let known = page.conversations.into_iter().map(|(id, synced)| {
        let frames = synced
            .context
            .into_iter()
            .flat_map(|context| synced.entries.iter().map(move |entry| entry_push(entry, context)));
        let conversation = SyncConversation {
            state: synced.state,
            head_seq: synced.head,
            since_seq: synced.since,
            entries: frames.collect(),
            more: synced.more,
        };
        (id.to_string(), conversation)
    });
    let others = page
        .others
        .iter()
        .map(|other| OtherConversation { conversation: other.context.key(other.id), head_seq: other.head });
    Ok(call.done(&SyncReply {
        epoch: page.epoch,
        others: others.collect(),
        more_others: page.more_others,
        conversations: known.chain(malformed).collect(),
    }))
}

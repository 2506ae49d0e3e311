//! What users do with their account and its sessions.

use std::sync::Arc;

use futures::FutureExt as _;

use super::{Requester, fitting};
use crate::chat::connection::Caller;
use crate::chat::engine::Engine;
use crate::domain::SessionInfo;
use crate::error::{ActionError, AuthError};
use crate::id::SessionId;
use crate::port::Auth;
use crate::protocol::reply::{Done, SessionView, SessionsReply, UserReply};
use crate::protocol::request::{ChangePassword, ListSessions, Nothing, RevokeSession, UpdateProfile};
use crate::protocol::table::AnswersAccount;

impl AnswersAccount for Requester<'_> {
    /// Leaves this socket open with nobody signed in, and closes the others of the session.
    async fn logout(&self, _: Nothing) -> Result<Done, ActionError> {
        let caller = self.caller;
        let shared = self.call.shared.clone();
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
        self.call.chat.engine.change_and(end, then).await?;
        Ok(Done {})
    }

    async fn list_sessions(&self, list: ListSessions) -> Result<SessionsReply, ActionError> {
        let caller = self.caller;
        let engine = &self.call.chat.engine;
        let mut sessions = engine.ask(engine.auth.sessions(caller.user_id)).await?;
        if let Some(after) = list.after {
            let after = after.resolve()?;
            let is_after = |session: &SessionInfo| session.session_id == after;
            let index = sessions.iter().position(is_after).ok_or_else(ActionError::not_found)?;
            sessions.drain(..=index);
        }
        let limit = list.limit.map_or(usize::MAX, |limit| limit.get() as usize);
        let mut has_more = sessions.len() > limit;
        let views =
            sessions.into_iter().take(limit).map(|session| SessionView::new(session, caller.session_id));
        let sessions = fitting(views.collect(), &mut has_more);
        let next_after = sessions.last().filter(|_| has_more).map(|session| session.session_id);
        Ok(SessionsReply { sessions, next_after })
    }

    async fn revoke_session(&self, revoke: RevokeSession) -> Result<Done, ActionError> {
        let session = revoke.session_id.resolve()?;
        if session == self.caller.session_id {
            return self.logout(Nothing {}).await;
        }
        self.call.chat.end_session(self.caller.user_id, session).await?;
        Ok(Done {})
    }

    async fn change_password(&self, change: ChangePassword) -> Result<Done, ActionError> {
        let Caller { user_id, session_id } = self.caller;
        let ChangePassword { old_password, new_password, .. } = change;
        let change = move |auth: Arc<dyn Auth>| {
            async move { auth.change_password(user_id, session_id, old_password, new_password).await }.boxed()
        };
        let then = move |engine: &Engine, ended: &Vec<SessionId>| {
            for session in ended {
                engine.end(user_id, Some(*session), None);
            }
        };
        self.call.chat.engine.change_and(change, then).await?;
        Ok(Done {})
    }

    async fn update_profile(&self, update: UpdateProfile) -> Result<UserReply, ActionError> {
        if let Some(name) = update.display_name {
            self.user.set_display_name(name).await?;
        }
        Ok(UserReply { user_id: self.user.id() })
    }
}

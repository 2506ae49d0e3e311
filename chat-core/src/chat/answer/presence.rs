//! How users look to others, and who is there.

use super::Requester;
use crate::error::ActionError;
use crate::protocol::reply::{Done, PresenceReply, UsersReply};
use crate::protocol::request::{SetStatus, Users};
use crate::protocol::table::AnswersPresence;

impl AnswersPresence for Requester<'_> {
    async fn set_status(&self, set: SetStatus) -> Result<Done, ActionError> {
        self.user.set_status(set.status);
        Ok(Done {})
    }

    async fn get_presence(&self, users: Users) -> Result<PresenceReply, ActionError> {
        let users = self.user.presence(users.user_ids.into_vec()).await?;
        Ok(PresenceReply { users: users.into_iter().map(Into::into).collect() })
    }

    async fn get_users(&self, users: Users) -> Result<UsersReply, ActionError> {
        let users = self.user.profiles(users.user_ids.into_vec()).await?;
        Ok(UsersReply { users: users.into_iter().map(Into::into).collect() })
    }
}

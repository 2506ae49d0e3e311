//! Who is online, and who is who.

use std::collections::HashSet;

use crate::chat::user::User;
use crate::domain::{DisplayName, Presence, Profile, Status};
use crate::error::ActionError;
use crate::id::UserId;
use crate::limits::hard;

/// A profile as far as the caller may see it.
pub type VisibleProfile = Profile;

impl User {
    /// Sets the status that others see while the user is connected. It belongs to the user, not to a device.
    pub fn set_status(&self, status: Status) {
        self.engine().hub.set_status(self.id(), status);
    }

    /// Changes the name that others see.
    ///
    /// # Errors
    /// `unknown_action` if the accounts live elsewhere; `unavailable`; `timeout` when it may have changed.
    pub async fn set_display_name(&self, name: DisplayName) -> Result<(), ActionError> {
        self.engine().change(self.engine().auth.set_display_name(self.id(), name)).await
    }

    /// The presence of up to 100 users, without those who share no conversation with the caller.
    ///
    /// # Errors
    /// `unavailable` from the store or the accounts.
    pub async fn presence(&self, users: Vec<UserId>) -> Result<Vec<Presence>, ActionError> {
        let engine = self.engine();
        let visible = self.visible_among(users).await?;
        let users: Vec<UserId> = visible.into_iter().collect();
        let statuses = engine.hub.statuses(users.clone());
        let offline: Vec<UserId> = users
            .iter()
            .zip(&statuses)
            .filter(|(_, status)| **status == Status::Offline)
            .map(|(user, _)| *user)
            .collect();
        let profiles = if offline.is_empty() { Vec::new() } else { engine.profiles(offline).await? };
        let presence = |(user_id, status): (UserId, Status)| {
            let last_seen =
                profiles.iter().find(|profile| profile.user_id == user_id).and_then(|p| p.last_seen);
            Presence { user_id, status, last_seen }
        };
        Ok(users.into_iter().zip(statuses).map(presence).collect())
    }

    /// The profiles of up to 100 users; `last_seen` only of those who share a conversation with the caller.
    ///
    /// # Errors
    /// `unavailable` from the store or the accounts.
    pub async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<VisibleProfile>, ActionError> {
        let visible = self.visible_among(users.clone()).await?;
        let mut profiles = self.engine().profiles(users).await?;
        for profile in &mut profiles {
            if !visible.contains(&profile.user_id) {
                profile.last_seen = None;
            }
        }
        Ok(profiles)
    }

    /// Those of `users` whose presence the caller may see: who share a conversation, and the caller.
    async fn visible_among(&self, mut users: Vec<UserId>) -> Result<HashSet<UserId>, ActionError> {
        if users.len() > hard::USER_IDS {
            let message = format!("must have at most {} ids", hard::USER_IDS);
            return Err(ActionError::invalid("user_ids", message));
        }
        let engine = self.engine();
        let asks_for_self = users.contains(&self.id());
        users.retain(|user| *user != self.id());
        let shared = engine.read(engine.rooms.sharing(self.id(), users)).await?;
        Ok(shared.into_iter().chain(asks_for_self.then_some(self.id())).collect())
    }
}

//! The life of a session: opened by a login, used by its access token, renewed by its refresh token, ended.
//!
//! Every refresh replaces both tokens. A refresh token that was replaced a moment ago still answers, with
//! the tokens that its session has now: another tab, or a client that did not get its reply, is not a thief.
//! One that comes back later was copied, and the whole session ends.

use secrecy::{ExposeSecret, SecretString};

use super::events::{SecurityEvent, record};
use super::password_auth::PasswordAuth;
use super::throttle::{Origin, Target};
use super::token::{TokenKind, TokenPair};
use super::username;
use crate::domain::{DeviceName, Grant, Identity, SessionInfo};
use crate::error::AuthError;
use crate::id::{SessionId, UserId};
use crate::port::{Account, ClientContext, Rotation, Session, SessionMatch, SessionTokens, TokenHash};
use crate::time::Timestamp;

/// How stale `last_used_at` may be.
const USE_NOTED_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// How often a refresh tries again because another one of the same session was faster.
const REFRESH_ATTEMPTS: usize = 8;

impl PasswordAuth {
    /// A new session, always: no token that existed before becomes one of it. Beyond the limit of the
    /// user's sessions the longest unused end.
    pub(super) async fn create_session(
        &self,
        account: &Account,
        device: Option<DeviceName>,
    ) -> Result<Grant, AuthError> {
        let now = self.clock.now();
        let pair = TokenPair::generate()?;
        let ends_at = now.plus(self.settings.session_lifetime);
        let session = Session {
            session_id: SessionId::generate(),
            user_id: account.user_id,
            device,
            created_at: now,
            last_used_at: now,
            ends_at,
            tokens: self.tokens(&pair, now, ends_at),
        };
        self.store.create_session(session.clone()).await?;
        self.end_surplus(&session).await.map_err(AuthError::after_a_write)?;
        Ok(grant(&session, account, pair, now))
    }

    pub(super) async fn authenticate_session(
        &self,
        token: &str,
        client: &ClientContext,
    ) -> Result<Identity, AuthError> {
        let hash = TokenKind::Access.parse(token).ok_or(AuthError::InvalidToken)?;
        let Some(session) = self.store.session_by_access(hash).await? else {
            return Err(self.ended_or_invalid(hash).await);
        };
        let now = self.clock.now();
        if now >= session.tokens.access_expires_at || now >= session.ends_at {
            return Err(AuthError::ExpiredToken);
        }
        let account = self.enabled_account(&session).await?;
        self.note_owner(&account, client);
        self.note_use(&session, now).await;
        Ok(identity(&session, &account))
    }

    pub(super) async fn refresh_session(
        &self,
        refresh_token: &SecretString,
        client: &ClientContext,
    ) -> Result<Grant, AuthError> {
        let presented = TokenKind::Refresh.parse(refresh_token.expose_secret());
        let presented = presented.ok_or(AuthError::InvalidToken)?;
        for _ in 0..REFRESH_ATTEMPTS {
            let Some(found) = self.store.session_by_refresh(presented).await? else {
                return Err(self.ended_or_invalid(presented).await);
            };
            let now = self.clock.now();
            let (session, existing) = match found {
                SessionMatch::Current(session) => (session, None),
                SessionMatch::Replaced { session, replaced_at } => {
                    if now.since(replaced_at) > self.settings.refresh_grace {
                        return Err(self.reused(&session, client).await?);
                    }
                    let existing = self.recent_pairs.find(session.tokens.refresh);
                    (session, existing)
                }
            };
            if now >= session.tokens.refresh_expires_at || now >= session.ends_at {
                return Err(AuthError::ExpiredToken);
            }
            let account = self.enabled_account(&session).await?;
            self.note_owner(&account, client);
            if let Some(pair) = existing {
                return Ok(grant(&session, &account, pair, now));
            }
            if let Some(grant) = self.rotate(session, &account, now).await? {
                return Ok(grant);
            }
        }
        Err(AuthError::Unavailable("too many refreshes of one session at once".into()))
    }

    /// The user's sessions that are not over, the latest used first.
    pub(super) async fn list_sessions(&self, user: UserId) -> Result<Vec<SessionInfo>, AuthError> {
        let now = self.clock.now();
        let sessions = self.store.sessions_of(user).await?;
        let living = sessions.into_iter().rev().filter(|session| {
            now < session.ends_at
                && now < session.tokens.refresh_expires_at.max(session.tokens.access_expires_at)
        });
        Ok(living.map(info).collect())
    }

    pub(super) async fn end_one(&self, user: UserId, session: SessionId) -> Result<(), AuthError> {
        let sessions = self.store.sessions_of(user).await?;
        if !sessions.iter().any(|mine| mine.session_id == session) {
            return Err(AuthError::NotFound);
        }
        let ended = self.end(user, vec![session]).await?;
        if ended.is_empty() { Err(AuthError::NotFound) } else { Ok(()) }
    }

    /// Ends the user's sessions but `keep`.
    pub(super) async fn end_all_but(
        &self,
        user: UserId,
        keep: Option<SessionId>,
    ) -> Result<Vec<SessionId>, AuthError> {
        let sessions = self.store.sessions_of(user).await?;
        let others = sessions.into_iter().map(|session| session.session_id).filter(|id| Some(*id) != keep);
        self.end(user, others.collect()).await
    }

    async fn end(&self, user: UserId, sessions: Vec<SessionId>) -> Result<Vec<SessionId>, AuthError> {
        if sessions.is_empty() {
            return Ok(Vec::new());
        }
        let ended = self.store.end_sessions(sessions, self.clock.now()).await?;
        if !ended.is_empty() {
            record(SecurityEvent::SessionsEnded, Some(user), None);
        }
        Ok(ended.into_iter().map(|revocation| revocation.session_id).collect())
    }

    /// Ends the longest unused sessions beyond the limit, but not `newest`.
    async fn end_surplus(&self, newest: &Session) -> Result<(), AuthError> {
        let limit = self.settings.user_sessions;
        if limit == 0 {
            return Ok(());
        }
        let sessions = self.store.sessions_of(newest.user_id).await?;
        let surplus = sessions.len().saturating_sub(limit);
        let others =
            sessions.into_iter().map(|session| session.session_id).filter(|id| *id != newest.session_id);
        self.end(newest.user_id, others.take(surplus).collect()).await?;
        Ok(())
    }

    /// Replaces the session's tokens; `None` if somebody else did so first.
    async fn rotate(
        &self,
        mut session: Session,
        account: &Account,
        now: Timestamp,
    ) -> Result<Option<Grant>, AuthError> {
        let pair = TokenPair::generate()?;
        let replaced = session.tokens.refresh;
        session.tokens = self.tokens(&pair, now, session.ends_at);
        // Remembered first: whoever sees the new tokens in the store finds them here.
        self.recent_pairs.remember(&pair);
        match self.store.rotate_session(session.session_id, replaced, session.tokens).await? {
            Rotation::Done => Ok(Some(grant(&session, account, pair, now))),
            Rotation::Lost => Ok(None),
        }
    }

    fn tokens(&self, pair: &TokenPair, now: Timestamp, ends_at: Timestamp) -> SessionTokens {
        SessionTokens {
            access: pair.access_hash(),
            access_expires_at: now.plus(self.settings.access_lifetime).min(ends_at),
            refresh: pair.refresh_hash(),
            refresh_expires_at: now.plus(self.settings.refresh_lifetime).min(ends_at),
            issued_at: now,
        }
    }

    /// A replaced refresh token came back too late: whoever has it, the session ends.
    async fn reused(&self, session: &Session, client: &ClientContext) -> Result<AuthError, AuthError> {
        record(SecurityEvent::RefreshTokenReused, Some(session.user_id), client.address);
        self.end(session.user_id, vec![session.session_id]).await?;
        Ok(AuthError::SessionEnded)
    }

    async fn enabled_account(&self, session: &Session) -> Result<Account, AuthError> {
        let account = self.store.account(session.user_id).await?;
        account.filter(|account| !account.disabled).ok_or(AuthError::SessionEnded)
    }

    /// What to say of a token that no session has.
    async fn ended_or_invalid(&self, token: TokenHash) -> AuthError {
        match self.store.was_ended(token).await {
            Ok(true) => AuthError::SessionEnded,
            Ok(false) => AuthError::InvalidToken,
            Err(error) => error.into(),
        }
    }

    /// The address of somebody with a valid token is the owner's: guesses from elsewhere do not slow it down.
    fn note_owner(&self, account: &Account, client: &ClientContext) {
        if let Some(keys) = username::lookup_keys(&account.username) {
            self.throttle.known(Target::login(&keys.folded), Origin::of(client.address));
        }
    }

    /// Notes that a session is in use, now and then. Whether a token is valid does not depend on it, so a
    /// store that only reads (a full disk) still lets people in.
    async fn note_use(&self, session: &Session, now: Timestamp) {
        if now.since(session.last_used_at) < USE_NOTED_EVERY {
            return;
        }
        if let Err(error) = self.store.touch_session(session.session_id, now).await {
            tracing::warn!(%error, user_id = %session.user_id, "the use of a session was not noted");
        }
    }
}

fn grant(session: &Session, account: &Account, pair: TokenPair, now: Timestamp) -> Grant {
    Grant {
        identity: identity(session, account),
        token: pair.access,
        refresh_token: pair.refresh,
        expires_in: session.tokens.access_expires_at.since(now),
    }
}

fn identity(session: &Session, account: &Account) -> Identity {
    Identity {
        user_id: session.user_id,
        session_id: session.session_id,
        username: account.username.clone(),
        expires_at: Some(session.tokens.access_expires_at),
    }
}

fn info(session: Session) -> SessionInfo {
    SessionInfo {
        session_id: session.session_id,
        device: session.device,
        created_at: session.created_at,
        last_used_at: session.last_used_at,
    }
}

//! An `Auth` in memory for tests of what is around it: no hashing, no throttling, no rules for names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::domain::{DeviceName, DisplayName, Profile, SessionInfo};
use chat_core::error::AuthError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Auth, ClientContext, Credentials, Grant, Identity, Registration};
use chat_core::time::{Clock, SystemClock, Timestamp};
use secrecy::{ExposeSecret, SecretString};

/// How long access tokens are good if nothing else was said.
const TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Users and sessions in memory. Names are the same whatever their case.
#[derive(Debug)]
pub struct FakeAuth {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    token_lifetime: Duration,
    users: BTreeMap<UserId, User>,
    sessions: BTreeMap<SessionId, Session>,
    ended: Vec<(Timestamp, UserId, SessionId)>,
}

#[derive(Debug)]
struct User {
    profile: Profile,
    password: String,
}

#[derive(Debug)]
struct Session {
    user: UserId,
    info: SessionInfo,
    /// How often its tokens were refreshed; part of both tokens.
    generation: u64,
    expires_at: Timestamp,
    is_ended: bool,
}

/// The tokens of a session, which tell the session and the generation.
fn tokens(session: SessionId, generation: u64) -> [String; 2] {
    [format!("access-{session}-{generation}"), format!("refresh-{session}-{generation}")]
}

impl FakeAuth {
    /// Without users; tokens end by `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            token_lifetime: TOKEN_LIFETIME,
            users: BTreeMap::new(),
            sessions: BTreeMap::new(),
            ended: Vec::new(),
        };
        Self { clock, state: Mutex::new(state) }
    }

    /// How long the access tokens given out from now on are good.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        self.lock().token_lifetime = lifetime;
    }

    /// A new user called `name`, with the password `password`.
    ///
    /// # Panics
    /// If the name is taken, or no display name.
    pub fn add_user(&self, name: &str) -> UserId {
        let display_name = DisplayName::new(name).expect("a name that can be shown");
        self.lock().add(name, "password", display_name).expect("a free name")
    }

    /// The access token of a new session of `user`.
    pub fn sign_in(&self, user: UserId) -> String {
        let (now, mut state) = (self.clock.now(), self.lock());
        let session = state.start(user, None, now);
        let [access, _] = tokens(session, 0);
        access
    }

    /// Ends a session as if that was said on another node: only `ended_since` tells.
    pub fn end_elsewhere(&self, session: SessionId) {
        let (now, mut state) = (self.clock.now(), self.lock());
        state.end(session, now);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for FakeAuth {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl State {
    fn by_name(&self, name: &str) -> Option<&User> {
        self.users.values().find(|user| user.profile.username.to_lowercase() == name.to_lowercase())
    }

    fn add(&mut self, name: &str, password: &str, display_name: DisplayName) -> Result<UserId, AuthError> {
        if self.by_name(name).is_some() {
            return Err(AuthError::UsernameTaken);
        }
        let user_id = UserId::generate();
        let profile = Profile { user_id, username: name.to_owned(), display_name, last_seen: None };
        self.users.insert(user_id, User { profile, password: password.to_owned() });
        Ok(user_id)
    }

    fn start(&mut self, user: UserId, device: Option<DeviceName>, now: Timestamp) -> SessionId {
        let session_id = SessionId::generate();
        let info = SessionInfo { session_id, device, created_at: now, last_used_at: now };
        let expires_at = now.plus(self.token_lifetime);
        let session = Session { user, info, generation: 0, expires_at, is_ended: false };
        self.sessions.insert(session_id, session);
        session_id
    }

    fn end(&mut self, session_id: SessionId, now: Timestamp) {
        if let Some(session) = self.sessions.get_mut(&session_id).filter(|session| !session.is_ended) {
            session.is_ended = true;
            self.ended.push((now, session.user, session_id));
        }
    }

    /// The session of a token; `kind` is 0 for access and 1 for refresh tokens.
    fn by_token(&mut self, token: &str, kind: usize) -> Result<&mut Session, AuthError> {
        let text = token.split('-').nth(1).unwrap_or_default();
        let session = text.parse().ok().and_then(|id: SessionId| self.sessions.get_mut(&id));
        let session = session.ok_or(AuthError::InvalidToken)?;
        if tokens(session.info.session_id, session.generation)[kind] != token {
            return Err(AuthError::InvalidToken);
        }
        if session.is_ended { Err(AuthError::SessionEnded) } else { Ok(session) }
    }

    fn identity(&self, session: SessionId) -> Result<Identity, AuthError> {
        let session = self.sessions.get(&session).ok_or(AuthError::InvalidToken)?;
        let user = self.users.get(&session.user).ok_or(AuthError::InvalidToken)?;
        Ok(Identity {
            user_id: session.user,
            session_id: session.info.session_id,
            username: user.profile.username.clone(),
            expires_at: Some(session.expires_at),
        })
    }

    fn grant(&self, session: SessionId) -> Result<Grant, AuthError> {
        let generation = self.sessions.get(&session).map_or(0, |session| session.generation);
        let [access, refresh] = tokens(session, generation).map(SecretString::from);
        let identity = self.identity(session)?;
        Ok(Grant { identity, token: access, refresh_token: refresh, expires_in: self.token_lifetime })
    }

    fn live_sessions(&self, user: UserId) -> impl Iterator<Item = &SessionInfo> {
        let live = self.sessions.values().filter(move |session| session.user == user && !session.is_ended);
        live.map(|session| &session.info)
    }
}

#[async_trait]
impl Auth for FakeAuth {
    async fn authenticate(&self, token: &str, _client: &ClientContext) -> Result<Identity, AuthError> {
        let (now, mut state) = (self.clock.now(), self.lock());
        let session = state.by_token(token, 0)?;
        if session.expires_at <= now {
            return Err(AuthError::ExpiredToken);
        }
        session.info.last_used_at = now;
        let id = session.info.session_id;
        state.identity(id)
    }

    async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError> {
        Ok(self.lock().by_name(name).map(|user| user.profile.user_id))
    }

    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError> {
        let state = self.lock();
        let known = state.users.values().filter(|user| users.contains(&user.profile.user_id));
        Ok(known.map(|user| user.profile.clone()).collect())
    }

    async fn register(
        &self,
        registration: Registration,
        _client: &ClientContext,
    ) -> Result<UserId, AuthError> {
        let Registration { username, password, display_name, .. } = registration;
        let display_name = match display_name {
            Some(name) => name,
            None => DisplayName::new(&*username)
                .map_err(|error| AuthError::InvalidField { field: "username", reason: error.0 })?,
        };
        self.lock().add(&username, password.expose_secret(), display_name)
    }

    async fn login(&self, credentials: Credentials, client: &ClientContext) -> Result<Grant, AuthError> {
        let (now, mut state) = (self.clock.now(), self.lock());
        let user = state.by_name(&credentials.username);
        let user = user.filter(|user| user.password == credentials.password.expose_secret());
        let user = user.ok_or(AuthError::InvalidCredentials)?.profile.user_id;
        let session = state.start(user, client.device.clone(), now);
        state.grant(session)
    }

    async fn refresh(
        &self,
        refresh_token: &SecretString,
        _client: &ClientContext,
    ) -> Result<Grant, AuthError> {
        let (now, mut state) = (self.clock.now(), self.lock());
        let lifetime = state.token_lifetime;
        let session = state.by_token(refresh_token.expose_secret(), 1)?;
        session.generation += 1;
        session.expires_at = now.plus(lifetime);
        session.info.last_used_at = now;
        let id = session.info.session_id;
        state.grant(id)
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<SessionInfo>, AuthError> {
        let mut sessions: Vec<SessionInfo> = self.lock().live_sessions(user).cloned().collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_used_at));
        Ok(sessions)
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> Result<(), AuthError> {
        let (now, mut state) = (self.clock.now(), self.lock());
        if !state.live_sessions(user).any(|info| info.session_id == session) {
            return Err(AuthError::NotFound);
        }
        state.end(session, now);
        Ok(())
    }

    async fn change_password(
        &self,
        user: UserId,
        keep: SessionId,
        old: SecretString,
        new: SecretString,
    ) -> Result<Vec<SessionId>, AuthError> {
        let (now, mut state) = (self.clock.now(), self.lock());
        let account = state.users.get_mut(&user).filter(|account| account.password == old.expose_secret());
        account.ok_or(AuthError::InvalidCredentials)?.password = new.expose_secret().to_owned();
        let all = state.live_sessions(user).map(|info| info.session_id);
        let others: Vec<SessionId> = all.filter(|session| *session != keep).collect();
        for session in &others {
            state.end(*session, now);
        }
        Ok(others)
    }

    async fn set_display_name(&self, user: UserId, name: DisplayName) -> Result<(), AuthError> {
        if let Some(user) = self.lock().users.get_mut(&user) {
            user.profile.display_name = name;
        }
        Ok(())
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), AuthError> {
        let mut state = self.lock();
        for (user, at) in seen {
            if let Some(user) = state.users.get_mut(&user) {
                user.profile.last_seen = user.profile.last_seen.max(Some(at));
            }
        }
        Ok(())
    }

    async fn ended_since(&self, since: Timestamp) -> Result<Vec<(UserId, SessionId)>, AuthError> {
        let state = self.lock();
        let recent = state.ended.iter().filter(|(at, ..)| *at >= since);
        Ok(recent.map(|(_, user, session)| (*user, *session)).collect())
    }
}

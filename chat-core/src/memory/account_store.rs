//! Accounts and sessions in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::domain::DisplayName;
use crate::error::StoreError;
use crate::id::{SessionId, UserId};
use crate::port::{
    Account, AccountCreation, AccountStore, NewAccount, PasswordWrite, Revocation, Rotation, Session,
    SessionMatch, SessionTokens, StoredAccount, TokenHash, UsernameKeys,
};
use crate::time::Timestamp;

/// How long revocations are kept.
const REVOCATIONS_KEPT: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// All accounts and sessions.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    accounts: BTreeMap<UserId, StoredAccount>,
    by_folded: HashMap<String, UserId>,
    by_skeleton: HashMap<String, UserId>,
    sessions: BTreeMap<SessionId, StoredSession>,
    ended: Vec<Ended>,
}

#[derive(Debug)]
struct StoredSession {
    session: Session,
    /// The hashes of earlier refresh tokens and when each was replaced.
    replaced: HashMap<TokenHash, Timestamp>,
}

/// A session that was ended.
#[derive(Debug)]
struct Ended {
    revocation: Revocation,
    tokens: SessionTokens,
}

impl Accounts {
    fn create(&mut self, new: NewAccount) -> AccountCreation {
        let by_folded = self.by_folded.get(&new.username.folded);
        let by_skeleton = self.by_skeleton.get(&new.username.skeleton);
        if by_folded == Some(&new.user_id) && by_skeleton == Some(&new.user_id) {
            return AccountCreation::Created;
        }
        if by_folded.is_some() || by_skeleton.is_some() || self.accounts.contains_key(&new.user_id) {
            return AccountCreation::NameTaken;
        }
        let username = new.username;
        self.by_folded.insert(username.folded.clone(), new.user_id);
        self.by_skeleton.insert(username.skeleton.clone(), new.user_id);
        let account = Account {
            user_id: new.user_id,
            username: username.text.clone(),
            display_name: new.display_name,
            email: new.email,
            password_hash: new.password_hash,
            disabled: false,
            created_at: new.created_at,
            last_login: None,
            last_seen: None,
        };
        self.accounts.insert(account.user_id, StoredAccount { account, username });
        AccountCreation::Created
    }

    fn get(&self, user: UserId) -> Option<&Account> {
        self.accounts.get(&user).map(|stored| &stored.account)
    }

    fn get_mut(&mut self, user: UserId) -> Option<&mut Account> {
        self.accounts.get_mut(&user).map(|stored| &mut stored.account)
    }

    fn by_name(&self, name: &UsernameKeys) -> Option<&Account> {
        let mut accounts = self.accounts.values().map(|stored| &stored.account);
        let exact = accounts.find(|account| account.username == name.text);
        exact.or_else(|| self.get(*self.by_folded.get(&name.folded)?))
    }

    fn by_refresh(&self, refresh: TokenHash) -> Option<SessionMatch> {
        self.sessions.values().find_map(|stored| {
            let session = stored.session.clone();
            if session.tokens.refresh == refresh {
                return Some(SessionMatch::Current(session));
            }
            let replaced_at = *stored.replaced.get(&refresh)?;
            Some(SessionMatch::Replaced { session, replaced_at })
        })
    }

    fn rotate(&mut self, session: SessionId, expected: TokenHash, tokens: SessionTokens) -> Rotation {
        let Some(stored) = self.sessions.get_mut(&session) else { return Rotation::Lost };
        if stored.session.tokens.refresh != expected {
            return Rotation::Lost;
        }
        stored.replaced.insert(expected, tokens.issued_at);
        stored.session.tokens = tokens;
        stored.session.last_used_at = tokens.issued_at;
        Rotation::Done
    }

    fn end(&mut self, session_id: SessionId, ended_at: Timestamp) -> Option<Revocation> {
        let session = self.sessions.remove(&session_id)?.session;
        let revocation = Revocation { session_id, user_id: session.user_id, ended_at };
        self.ended.push(Ended { revocation, tokens: session.tokens });
        Some(revocation)
    }

    fn remove_expired(&mut self, now: Timestamp) {
        self.sessions.retain(|_, stored| {
            let session = &stored.session;
            session.ends_at >= now && session.tokens.refresh_expires_at >= now
        });
        let kept_from = now.minus(REVOCATIONS_KEPT);
        self.ended.retain(|ended| ended.revocation.ended_at >= kept_from);
    }
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn create_account(&self, account: NewAccount) -> Result<AccountCreation, StoreError> {
        Ok(self.lock().accounts.create(account))
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        Ok(self.lock().accounts.get(user).cloned())
    }

    async fn account_by_name(&self, name: &UsernameKeys) -> Result<Option<Account>, StoreError> {
        Ok(self.lock().accounts.by_name(name).cloned())
    }

    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<Account>, StoreError> {
        let state = self.lock();
        let accounts = state.accounts.accounts.values().map(|stored| &stored.account);
        Ok(accounts.filter(|account| users.contains(&account.user_id)).cloned().collect())
    }

    async fn all_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredAccount>, StoreError> {
        let state = self.lock();
        let above = state.accounts.accounts.values().filter(|one| after < Some(one.account.user_id));
        Ok(above.take(limit as usize).cloned().collect())
    }

    async fn set_password(
        &self,
        user: UserId,
        expected: &str,
        hash: &str,
        _reason: PasswordWrite,
    ) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let account = state.accounts.get_mut(user);
        let Some(account) = account.filter(|account| account.password_hash == expected) else {
            return Ok(false);
        };
        account.password_hash = hash.to_owned();
        Ok(true)
    }

    async fn set_display_name(&self, user: UserId, name: &DisplayName) -> Result<(), StoreError> {
        if let Some(account) = self.lock().accounts.get_mut(user) {
            account.display_name = name.clone();
        }
        Ok(())
    }

    async fn record_login(&self, user: UserId, at: Timestamp) -> Result<(), StoreError> {
        if let Some(account) = self.lock().accounts.get_mut(user) {
            account.last_login = Some(at);
        }
        Ok(())
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), StoreError> {
        let mut state = self.lock();
        for (user, at) in seen {
            if let Some(account) = state.accounts.get_mut(user) {
                account.last_seen = account.last_seen.max(Some(at));
            }
        }
        Ok(())
    }

    async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        let mut state = self.lock();
        let Some(account) = state.accounts.get_mut(user) else { return Ok(false) };
        account.disabled = disabled;
        Ok(true)
    }

    async fn create_session(&self, session: Session) -> Result<(), StoreError> {
        let mut state = self.lock();
        let stored = StoredSession { session, replaced: HashMap::new() };
        // A repeated call finds the session and leaves it as it is.
        state.accounts.sessions.entry(stored.session.session_id).or_insert(stored);
        Ok(())
    }

    async fn session_by_access(&self, access: TokenHash) -> Result<Option<Session>, StoreError> {
        let state = self.lock();
        let mut sessions = state.accounts.sessions.values().map(|stored| &stored.session);
        Ok(sessions.find(|session| session.tokens.access == access).cloned())
    }

    async fn session_by_refresh(&self, refresh: TokenHash) -> Result<Option<SessionMatch>, StoreError> {
        Ok(self.lock().accounts.by_refresh(refresh))
    }

    async fn rotate_session(
        &self,
        session: SessionId,
        expected: TokenHash,
        tokens: SessionTokens,
    ) -> Result<Rotation, StoreError> {
        Ok(self.lock().accounts.rotate(session, expected, tokens))
    }

    async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        if let Some(stored) = self.lock().accounts.sessions.get_mut(&session) {
            stored.session.last_used_at = at;
        }
        Ok(())
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let state = self.lock();
        let sessions = state.accounts.sessions.values().map(|stored| &stored.session);
        let mut mine: Vec<Session> = sessions.filter(|session| session.user_id == user).cloned().collect();
        mine.sort_by_key(|session| session.last_used_at);
        Ok(mine)
    }

    async fn end_sessions(
        &self,
        sessions: Vec<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        let mut state = self.lock();
        Ok(sessions.into_iter().filter_map(|session| state.accounts.end(session, at)).collect())
    }

    async fn revocations_since(&self, since: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        let state = self.lock();
        let revocations = state.accounts.ended.iter().map(|ended| ended.revocation);
        let mut recent: Vec<Revocation> = revocations.filter(|one| one.ended_at >= since).collect();
        recent.sort_by_key(|one| one.ended_at);
        Ok(recent)
    }

    async fn was_ended(&self, token: TokenHash) -> Result<bool, StoreError> {
        let state = self.lock();
        let mut tokens = state.accounts.ended.iter().map(|ended| ended.tokens);
        Ok(tokens.any(|tokens| tokens.access == token || tokens.refresh == token))
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        self.lock().accounts.remove_expired(now);
        Ok(())
    }
}

//! The suite for account stores is itself tested: each store here tells one lie, and at
//! least the case named beside it must find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chat_core::domain::DisplayName;
use chat_core::error::StoreError;
use chat_core::id::{SessionId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{
    Account, AccountCreation, AccountStore, NewAccount, PasswordWrite, Revocation, Rotation, Session,
    SessionMatch, SessionTokens, StoredAccount, TokenHash, UsernameKeys,
};
use chat_core::time::Timestamp;
use chat_testkit::model::{self, Effort};
use chat_testkit::{Harness, account_store, suite};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    NamesAreNotUnique,
    SkeletonsAreNotUnique,
    RefusedAccountsAreStored,
    ARetryIsRefused,
    FoldedBeforeExact,
    SkeletonFindsSomebody,
    AllAccountsIgnoreAfter,
    AllAccountsLeaveOutTheDisabled,
    AllAccountsMakeTheirKeysAnew,
    PasswordReplacedBlindly,
    OnlyChangedPasswordsAreStored,
    SeenGoesBack,
    EverybodyCanBeDisabled,
    EveryRotationIsDone,
    ReplacedTokensAreForgotten,
    OldAccessTokenStays,
    ExpiredSessionsAreHidden,
    LatestUsedFirst,
    EndedSessionsStay,
    NoRevocation,
    RevocationsAfterATime,
    EveryTokenWasEnded,
    NothingExpires,
    RevocationsAreShortLived,
    ForgetsOnRestart,
}

/// Each lie with a case that must find it out.
const LIES: &[(Lie, &str)] = &[
    (Lie::NamesAreNotUnique, "a_race_for_one_name_has_one_winner"),
    (Lie::SkeletonsAreNotUnique, "a_race_for_one_skeleton_has_one_winner"),
    (Lie::RefusedAccountsAreStored, "a_refused_account_leaves_nothing"),
    (Lie::ARetryIsRefused, "a_repeated_registration_succeeds"),
    (Lie::FoldedBeforeExact, "a_name_is_found_exactly_before_folded"),
    (Lie::SkeletonFindsSomebody, "a_skeleton_finds_nobody"),
    (Lie::AllAccountsIgnoreAfter, "all_accounts_are_paged_in_order"),
    (Lie::AllAccountsLeaveOutTheDisabled, "all_accounts_are_whole"),
    (Lie::AllAccountsMakeTheirKeysAnew, "all_accounts_are_whole"),
    (Lie::PasswordReplacedBlindly, "a_race_for_one_password_has_one_winner"),
    (Lie::OnlyChangedPasswordsAreStored, "a_password_is_replaced_only_if_it_is_the_expected_one"),
    (Lie::SeenGoesBack, "the_time_last_seen_never_goes_back"),
    (Lie::EverybodyCanBeDisabled, "accounts_are_disabled_and_enabled"),
    (Lie::EveryRotationIsDone, "a_race_for_one_rotation_has_one_winner"),
    (Lie::ReplacedTokensAreForgotten, "every_replaced_refresh_token_is_found"),
    (Lie::OldAccessTokenStays, "a_rotation_replaces_the_tokens"),
    (Lie::ExpiredSessionsAreHidden, "expired_sessions_are_found"),
    (Lie::LatestUsedFirst, "sessions_are_listed_the_longest_unused_first"),
    (Lie::EndedSessionsStay, "an_ended_session_is_found_no_more"),
    (Lie::NoRevocation, "ended_sessions_leave_revocations"),
    (Lie::RevocationsAfterATime, "revocations_are_listed_from_a_time_on"),
    (Lie::EveryTokenWasEnded, "an_ended_token_is_told_from_an_unknown_one"),
    (Lie::NothingExpires, "expired_sessions_are_removed"),
    (Lie::RevocationsAreShortLived, "revocations_are_kept_for_two_days"),
    (Lie::ForgetsOnRestart, "a_restart_keeps_accounts_and_sessions"),
];

#[test]
fn every_lie_is_found_out() {
    for (lie, case) in LIES {
        let failing = suite::failing(account_store::CASES, || account_store::start(LyingHarness(*lie)));
        assert!(failing.contains(case), "{lie:?} is not found out by {case}, only by {failing:?}");
    }
}

#[test]
fn the_model_test_finds_lies_out_as_well() {
    let lies = [
        Lie::NamesAreNotUnique,
        Lie::OldAccessTokenStays,
        Lie::RevocationsAreShortLived,
        Lie::ForgetsOnRestart,
    ];
    for lie in lies {
        let run = || model::run_accounts(|| LyingHarness(lie), Effort::default());
        assert!(std::panic::catch_unwind(run).is_err(), "{lie:?} is not found out");
    }
}

struct LyingHarness(Lie);

#[async_trait]
impl Harness<dyn AccountStore> for LyingHarness {
    async fn start(&mut self) -> Arc<dyn AccountStore> {
        Arc::new(Lying { lie: self.0, honest: MemoryStore::new(), memory: Mutex::default() })
    }

    async fn restart(&mut self) -> Option<Arc<dyn AccountStore>> {
        if self.0 == Lie::ForgetsOnRestart { Some(self.start().await) } else { None }
    }
}

/// An honest store that lies in one point.
#[derive(Debug)]
struct Lying {
    lie: Lie,
    honest: MemoryStore,
    memory: Mutex<Memory>,
}

/// What the liar keeps in mind.
#[derive(Debug, Default)]
struct Memory {
    refused: HashMap<UserId, UsernameKeys>,
    skeletons: HashMap<String, UserId>,
    seen: HashMap<UserId, Timestamp>,
    old_access: HashMap<TokenHash, SessionId>,
}

impl Lying {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }
}

#[async_trait]
impl AccountStore for Lying {
    async fn create_account(&self, mut account: NewAccount) -> Result<AccountCreation, StoreError> {
        let (user, name) = (account.user_id, account.username.clone());
        if self.tells(Lie::SkeletonsAreNotUnique) {
            account.username.skeleton = user.to_string();
        }
        if self.tells(Lie::ARetryIsRefused) && self.honest.account(user).await?.is_some() {
            return Ok(AccountCreation::NameTaken);
        }
        let creation = self.honest.create_account(account.clone()).await?;
        self.memory.lock().expect("not poisoned").skeletons.insert(name.skeleton.clone(), user);
        if creation == AccountCreation::NameTaken && self.tells(Lie::NamesAreNotUnique) {
            return Ok(AccountCreation::Created);
        }
        if creation == AccountCreation::NameTaken && self.tells(Lie::RefusedAccountsAreStored) {
            self.memory.lock().expect("not poisoned").refused.insert(user, name);
            account.username.folded = user.to_string();
            account.username.skeleton = user.to_string();
            self.honest.create_account(account).await?;
        }
        Ok(creation)
    }

    async fn account(&self, user: UserId) -> Result<Option<Account>, StoreError> {
        let mut account = self.honest.account(user).await?;
        if let Some(account) = account.as_mut().filter(|_| self.tells(Lie::SeenGoesBack)) {
            account.last_seen = self.memory.lock().expect("not poisoned").seen.get(&user).copied();
        }
        Ok(account)
    }

    async fn account_by_name(&self, name: &UsernameKeys) -> Result<Option<Account>, StoreError> {
        let mut name = name.clone();
        if self.tells(Lie::FoldedBeforeExact) {
            name.text.clear();
        }
        let found = self.honest.account_by_name(&name).await?;
        let lookalike = self.memory.lock().expect("not poisoned").skeletons.get(&name.skeleton).copied();
        match lookalike.filter(|_| found.is_none() && self.tells(Lie::SkeletonFindsSomebody)) {
            Some(lookalike) => self.honest.account(lookalike).await,
            None => Ok(found),
        }
    }

    async fn accounts(&self, users: Vec<UserId>) -> Result<Vec<Account>, StoreError> {
        self.honest.accounts(users).await
    }

    async fn all_accounts(
        &self,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<StoredAccount>, StoreError> {
        let after = after.filter(|_| !self.tells(Lie::AllAccountsIgnoreAfter));
        let mut accounts = self.honest.all_accounts(after, limit).await?;
        match self.lie {
            Lie::AllAccountsLeaveOutTheDisabled => accounts.retain(|one| !one.account.disabled),
            Lie::AllAccountsMakeTheirKeysAnew => {
                for one in &mut accounts {
                    one.username.folded = one.username.text.to_lowercase();
                }
            }
            _ => {}
        }
        Ok(accounts)
    }

    async fn set_password(
        &self,
        user: UserId,
        expected: &str,
        hash: &str,
        reason: PasswordWrite,
    ) -> Result<bool, StoreError> {
        let Some(account) = self.honest.account(user).await? else { return Ok(false) };
        if self.tells(Lie::OnlyChangedPasswordsAreStored) && reason == PasswordWrite::Rehashed {
            return Ok(account.password_hash == expected);
        }
        let is_blind = self.tells(Lie::PasswordReplacedBlindly);
        let expected = if is_blind { &account.password_hash } else { expected };
        self.honest.set_password(user, expected, hash, reason).await
    }

    async fn set_display_name(&self, user: UserId, name: &DisplayName) -> Result<(), StoreError> {
        self.honest.set_display_name(user, name).await
    }

    async fn record_login(&self, user: UserId, at: Timestamp) -> Result<(), StoreError> {
        self.honest.record_login(user, at).await
    }

    async fn record_seen(&self, seen: Vec<(UserId, Timestamp)>) -> Result<(), StoreError> {
        self.memory.lock().expect("not poisoned").seen.extend(seen.iter().copied());
        self.honest.record_seen(seen).await
    }

    async fn set_disabled(&self, user: UserId, disabled: bool) -> Result<bool, StoreError> {
        Ok(self.honest.set_disabled(user, disabled).await? || self.tells(Lie::EverybodyCanBeDisabled))
    }

    async fn create_session(&self, session: Session) -> Result<(), StoreError> {
        self.honest.create_session(session).await
    }

    async fn session_by_access(&self, access: TokenHash) -> Result<Option<Session>, StoreError> {
        let old = self.memory.lock().expect("not poisoned").old_access.get(&access).copied();
        let found = self.honest.session_by_access(access).await?;
        if let Some(old) = old.filter(|_| self.tells(Lie::OldAccessTokenStays)) {
            return Ok(found.or(Some(Session { session_id: old, ..some_session(access) })));
        }
        let is_hidden = |session: &Session| {
            self.tells(Lie::ExpiredSessionsAreHidden) && session.ends_at <= session.created_at
        };
        Ok(found.filter(|session| !is_hidden(session)))
    }

    async fn session_by_refresh(&self, refresh: TokenHash) -> Result<Option<SessionMatch>, StoreError> {
        let found = self.honest.session_by_refresh(refresh).await?;
        let is_forgotten = |found: &SessionMatch| {
            self.tells(Lie::ReplacedTokensAreForgotten) && matches!(found, SessionMatch::Replaced { .. })
        };
        Ok(found.filter(|found| !is_forgotten(found)))
    }

    async fn rotate_session(
        &self,
        session: SessionId,
        expected: TokenHash,
        tokens: SessionTokens,
    ) -> Result<Rotation, StoreError> {
        if let Some(SessionMatch::Current(old)) = self.honest.session_by_refresh(expected).await? {
            self.memory.lock().expect("not poisoned").old_access.insert(old.tokens.access, session);
        }
        let rotation = self.honest.rotate_session(session, expected, tokens).await?;
        Ok(if self.tells(Lie::EveryRotationIsDone) { Rotation::Done } else { rotation })
    }

    async fn touch_session(&self, session: SessionId, at: Timestamp) -> Result<(), StoreError> {
        self.honest.touch_session(session, at).await
    }

    async fn sessions_of(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let mut sessions = self.honest.sessions_of(user).await?;
        if self.tells(Lie::LatestUsedFirst) {
            sessions.reverse();
        }
        Ok(sessions)
    }

    async fn end_sessions(
        &self,
        sessions: Vec<SessionId>,
        at: Timestamp,
    ) -> Result<Vec<Revocation>, StoreError> {
        if self.tells(Lie::EndedSessionsStay) {
            return Ok(Vec::new());
        }
        self.honest.end_sessions(sessions, at).await
    }

    async fn revocations_since(&self, since: Timestamp) -> Result<Vec<Revocation>, StoreError> {
        let mut revocations = self.honest.revocations_since(since).await?;
        match self.lie {
            Lie::NoRevocation => revocations.clear(),
            Lie::RevocationsAfterATime => revocations.retain(|one| one.ended_at > since),
            _ => {}
        }
        Ok(revocations)
    }

    async fn was_ended(&self, access: TokenHash) -> Result<bool, StoreError> {
        Ok(self.honest.was_ended(access).await? || self.tells(Lie::EveryTokenWasEnded))
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<(), StoreError> {
        match self.lie {
            Lie::NothingExpires => Ok(()),
            Lie::RevocationsAreShortLived => self.honest.remove_expired(now.plus(DAY)).await,
            _ => self.honest.remove_expired(now).await,
        }
    }
}

fn some_session(access: TokenHash) -> Session {
    let then = Timestamp::from_unix_ms(0);
    let tokens = SessionTokens {
        access,
        access_expires_at: then,
        refresh: access,
        refresh_expires_at: then,
        issued_at: then,
    };
    Session {
        session_id: SessionId::generate(),
        user_id: UserId::generate(),
        device: None,
        created_at: then,
        last_used_at: then,
        ends_at: then,
        tokens,
    }
}

//! Random calls to account stores.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use chat_core::domain::DisplayName;
use chat_core::id::{SessionId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{
    AccountStore, NewAccount, PasswordWrite, Session, SessionTokens, TokenHash, UsernameKeys,
};
use chat_core::time::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_oneof};

use super::{answer, same};
use crate::{Harness, Subject};

/// Every user has one name. Names 0 and 1 fold to the same, 2 looks like them, 4 folds like 3 and looks like 5.
const NAMES: [(&str, &str, &str); 6] = [
    ("Ann", "ann", "ann"),
    ("ann", "ann", "ann"),
    ("аnn", "аnn", "ann"),
    ("Bob", "bob", "bob"),
    ("bob", "bob", "carol"),
    ("Carol", "carol", "carol"),
];
const USERS: u8 = NAMES.len() as u8;

/// One call. Sessions and tokens are counted as they are made; a call names one of those so far.
#[derive(Debug, Clone)]
pub(super) enum Call {
    CreateAccount(u8),
    ByName { text: u8, folded: u8 },
    AllAccounts { after: Option<u8>, limit: u8 },
    SetPassword { user: u8, expected: u8, new: u8 },
    SetDisplayName { user: u8, name: u8 },
    RecordLogin { user: u8, at: u8 },
    RecordSeen(Vec<(u8, u8)>),
    SetDisabled { user: u8, disabled: bool },
    SignIn { user: u8, at: u8 },
    ByAccess(u16),
    ByRefresh(u16),
    Rotate { session: u16, expected: u16, at: u8 },
    RotateCurrent { session: u16, at: u8 },
    Touch { session: u16, at: u8 },
    SessionsOf(u8),
    End { sessions: Vec<u16>, at: u8 },
    RevocationsSince(u8),
    WasEnded(u16),
    RemoveExpired(u8),
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let user = || 0..USERS;
    let at = || 0_u8..120;
    prop_oneof![
        4 => user().prop_map(Call::CreateAccount),
        2 => (user(), user()).prop_map(|(text, folded)| Call::ByName { text, folded }),
        1 => (option::of(user()), 1..8_u8).prop_map(|(after, limit)| Call::AllAccounts { after, limit }),
        2 => (user(), 0..3_u8, 0..3_u8)
            .prop_map(|(user, expected, new)| Call::SetPassword { user, expected, new }),
        1 => (user(), 0..4_u8).prop_map(|(user, name)| Call::SetDisplayName { user, name }),
        1 => (user(), at()).prop_map(|(user, at)| Call::RecordLogin { user, at }),
        1 => vec((user(), at()), 0..4).prop_map(Call::RecordSeen),
        1 => (user(), any::<bool>()).prop_map(|(user, disabled)| Call::SetDisabled { user, disabled }),
        4 => (user(), at()).prop_map(|(user, at)| Call::SignIn { user, at }),
        2 => any::<u16>().prop_map(Call::ByAccess),
        2 => any::<u16>().prop_map(Call::ByRefresh),
        1 => (any::<u16>(), any::<u16>(), at())
            .prop_map(|(session, expected, at)| Call::Rotate { session, expected, at }),
        4 => (any::<u16>(), at()).prop_map(|(session, at)| Call::RotateCurrent { session, at }),
        2 => (any::<u16>(), at()).prop_map(|(session, at)| Call::Touch { session, at }),
        2 => user().prop_map(Call::SessionsOf),
        2 => (vec(any::<u16>(), 0..3), at()).prop_map(|(sessions, at)| Call::End { sessions, at }),
        1 => at().prop_map(Call::RevocationsSince),
        2 => any::<u16>().prop_map(Call::WasEnded),
        1 => at().prop_map(Call::RemoveExpired),
    ]
}

/// The two stores that are called in step.
struct Both {
    adapter: Arc<dyn AccountStore>,
    model: Arc<MemoryStore>,
    /// How many sessions were made.
    sessions: Cell<u16>,
    /// How many pairs of tokens were made.
    tokens: Cell<u16>,
}

/// Hours, so that sessions and revocations end within a test.
fn at(hours: u8) -> Timestamp {
    Timestamp::from_unix_ms(1_790_000_000_000).plus(Duration::from_secs(u64::from(hours) * 60 * 60))
}

fn user_id(number: u8) -> UserId {
    UserId::from_bytes([number.wrapping_mul(91); 12])
}

fn session_id(number: u16) -> SessionId {
    let mut bytes = [7; 12];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    SessionId::from_bytes(bytes)
}

fn token(number: u16, kind: u8) -> TokenHash {
    let mut bytes = [kind; 32];
    bytes[..2].copy_from_slice(&number.to_le_bytes());
    TokenHash(bytes)
}

fn keys(number: u8) -> UsernameKeys {
    let (text, folded, skeleton) = NAMES[usize::from(number)];
    UsernameKeys { text: text.to_owned(), folded: folded.to_owned(), skeleton: skeleton.to_owned() }
}

fn password(number: u8) -> String {
    format!("$argon2id${number}")
}

fn display_name(number: u8) -> DisplayName {
    DisplayName::new(format!("name {number}")).expect("a display name")
}

/// Makes all `calls` to a new store and to a memory store.
pub(super) async fn compare(harness: Box<dyn Harness<dyn AccountStore>>, calls: Vec<Call>) {
    let subject = Subject::start(harness).await;
    let (sessions, tokens) = (Cell::new(0), Cell::new(0));
    let mut both = Both { adapter: subject.port(), model: Arc::default(), sessions, tokens };
    for call in calls {
        both.call(call).await;
    }
    both.compare_everything().await;
    // A new store that nobody keeps: the old one must be let go before it is opened again.
    both.adapter = Arc::new(MemoryStore::new());
    if let Some(subject) = subject.restart().await {
        both.adapter = subject.port();
        both.compare_everything().await;
    }
}

impl Both {
    async fn call(&self, call: Call) {
        match call {
            Call::CreateAccount(number) => {
                let account = NewAccount {
                    user_id: user_id(number),
                    username: keys(number),
                    display_name: display_name(number),
                    email: None,
                    password_hash: password(0),
                    created_at: at(number),
                };
                let _ = same!(self, create_account(account.clone()));
            }
            Call::ByName { text, folded } => {
                let name = UsernameKeys { text: keys(text).text, ..keys(folded) };
                let _ = same!(self, account_by_name(&name));
            }
            Call::AllAccounts { after, limit } => {
                let _ = same!(self, all_accounts(after.map(user_id), limit.into()));
            }
            Call::SetPassword { user, expected, new } => {
                let (expected, hash) = (password(expected), password(new));
                let reason =
                    if new.is_multiple_of(2) { PasswordWrite::Changed } else { PasswordWrite::Rehashed };
                let _ = same!(self, set_password(user_id(user), &expected, &hash, reason));
            }
            Call::SetDisplayName { user, name } => {
                let _ = same!(self, set_display_name(user_id(user), &display_name(name)));
            }
            Call::RecordLogin { user, at: hours } => {
                let _ = same!(self, record_login(user_id(user), at(hours)));
            }
            Call::RecordSeen(seen) => {
                let seen: Vec<_> = seen.into_iter().map(|(user, hours)| (user_id(user), at(hours))).collect();
                let _ = same!(self, record_seen(seen.clone()));
            }
            Call::SetDisabled { user, disabled } => {
                let _ = same!(self, set_disabled(user_id(user), disabled));
            }
            session_call => self.session_call(session_call).await,
        }
    }

    async fn session_call(&self, call: Call) {
        match call {
            Call::SignIn { user, at: hours } => self.sign_in(user, at(hours)).await,
            Call::ByAccess(number) => {
                let _ = same!(self, session_by_access(token(self.some_token(number), 1)));
            }
            Call::ByRefresh(number) => {
                let _ = same!(self, session_by_refresh(token(self.some_token(number), 2)));
            }
            Call::Rotate { session, expected, at: hours } => {
                let expected = token(self.some_token(expected), 2);
                self.rotate(self.some_session(session), expected, at(hours)).await;
            }
            Call::RotateCurrent { session, at: hours } => {
                let session = self.some_session(session);
                if let Some(current) = self.current_refresh(session).await {
                    self.rotate(session, current, at(hours)).await;
                }
            }
            Call::Touch { session, at: hours } => {
                let _ = same!(self, touch_session(self.some_session(session), at(hours)));
            }
            Call::SessionsOf(user) => self.compare_sessions(user).await,
            Call::End { sessions, at: hours } => {
                let mut sessions: Vec<_> =
                    sessions.into_iter().map(|number| self.some_session(number)).collect();
                sessions.sort_unstable();
                sessions.dedup();
                let _ = same!(self, end_sessions(sessions.clone(), at(hours)), |mut ended| {
                    ended.sort_unstable_by_key(|one| one.session_id);
                    ended
                });
            }
            Call::RevocationsSince(hours) => self.compare_revocations(at(hours)).await,
            Call::WasEnded(number) => {
                let _ = same!(self, was_ended(token(self.some_token(number), 1)));
            }
            Call::RemoveExpired(hours) => {
                let _ = same!(self, remove_expired(at(hours)));
            }
            other => unreachable!("{other:?} is not about sessions"),
        }
    }

    async fn sign_in(&self, user: u8, now: Timestamp) {
        self.sessions.set(self.sessions.get() + 1);
        let session = Session {
            session_id: session_id(self.sessions.get()),
            user_id: user_id(user),
            device: None,
            created_at: now,
            last_used_at: now,
            ends_at: now.plus(Duration::from_secs(72 * 60 * 60)),
            tokens: self.new_tokens(now),
        };
        let _ = same!(self, create_session(session.clone()));
    }

    async fn rotate(&self, session: SessionId, expected: TokenHash, now: Timestamp) {
        let tokens = self.new_tokens(now);
        let _ = same!(self, rotate_session(session, expected, tokens));
    }

    /// Tokens that nobody had before.
    fn new_tokens(&self, now: Timestamp) -> SessionTokens {
        self.tokens.set(self.tokens.get() + 1);
        SessionTokens {
            access: token(self.tokens.get(), 1),
            access_expires_at: now.plus(Duration::from_secs(60 * 60)),
            refresh: token(self.tokens.get(), 2),
            refresh_expires_at: now.plus(Duration::from_secs(24 * 60 * 60)),
            issued_at: now,
        }
    }

    /// One of the sessions so far, or the one that comes next and is unknown.
    fn some_session(&self, number: u16) -> SessionId {
        session_id(number % (self.sessions.get() + 1) + 1)
    }

    fn some_token(&self, number: u16) -> u16 {
        number % (self.tokens.get() + 1) + 1
    }

    async fn current_refresh(&self, session: SessionId) -> Option<TokenHash> {
        for user in 0..USERS {
            let sessions = self.model.sessions_of(user_id(user)).await.unwrap_or_default();
            if let Some(found) = sessions.iter().find(|known| known.session_id == session) {
                return Some(found.tokens.refresh);
            }
        }
        None
    }

    /// Sessions used at the same moment may come in any order.
    async fn compare_sessions(&self, user: u8) {
        let _ = same!(self, sessions_of(user_id(user)), |mut sessions| {
            assert!(sessions.is_sorted_by_key(|session| session.last_used_at), "the longest unused first");
            sessions.sort_by_key(|session| (session.last_used_at, session.session_id));
            sessions
        });
    }

    async fn compare_revocations(&self, since: Timestamp) {
        let _ = same!(self, revocations_since(since), |mut revocations| {
            assert!(revocations.is_sorted_by_key(|one| one.ended_at), "the oldest first");
            revocations.sort_by_key(|one| (one.ended_at, one.session_id));
            revocations
        });
    }

    /// Every account, session and token.
    async fn compare_everything(&self) {
        for user in 0..USERS {
            let _ = same!(self, account(user_id(user)));
            self.compare_sessions(user).await;
        }
        let _ = same!(self, accounts((0..USERS).map(user_id).collect()), |mut accounts| {
            accounts.sort_unstable_by_key(|account| account.user_id);
            accounts
        });
        let _ = same!(self, all_accounts(None, 100));
        for number in 1..=self.tokens.get() {
            let _ = same!(self, session_by_access(token(number, 1)));
            let _ = same!(self, session_by_refresh(token(number, 2)));
            let _ = same!(self, was_ended(token(number, 1)));
            let _ = same!(self, was_ended(token(number, 2)));
        }
        self.compare_revocations(at(0)).await;
    }
}

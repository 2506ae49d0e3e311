//! Stores that fail on command: decorators that follow a script, method by method.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use chat_core::domain::{Conversation, DisplayName, Draft, Entry, Head, Member, Seq};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, SessionId, UserId};
use chat_core::port::{
    Account, AccountCreation, AccountStore, Append, Creation, EntryPage, EntryRange, MembershipPage,
    MessagePage, MessageQuery, MyConversation, NewAccount, NewConversation, PasswordWrite, Revocation,
    RoomQuery, RoomStore, Rotation, Session, SessionMatch, SessionTokens, Standing, StoredAccount, TokenHash,
    UsernameKeys,
};
use chat_core::time::Timestamp;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// What happens to one call.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing: it goes through.
    None,
    /// It does not happen, and answers `Unavailable`.
    Unavailable,
    /// It does not happen, and answers `Timeout`.
    Lost,
    /// It happens, and answers `Timeout`.
    AnswerLost,
    /// It does not happen, and answers `Corrupt`.
    Corrupt,
    /// It waits at the gate and happens afterwards; never, if the caller gives up.
    HeldBefore(Gate),
    /// It waits at the gate and happens afterwards, also when the caller has given up: like what a stalled disk
    /// or server does late. Of room stores only.
    Late(Gate),
    /// It answers `Timeout` at once and happens when the gate opens. Of room stores only.
    Unfinished(Gate),
    /// It happens and waits at the gate before it answers.
    HeldAfter(Gate),
    /// It does not happen: it panics.
    PanicBefore,
    /// It happens, and panics instead of answering.
    PanicAfter,
}

/// Holds calls until it is opened. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<watch::Sender<GateState>>);

#[derive(Debug, Clone, Copy, Default)]
struct GateState {
    arrived: usize,
    is_open: bool,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::default()))
    }

    /// Lets everybody through, from now on.
    pub fn open(&self) {
        self.0.send_modify(|state| state.is_open = true);
    }

    /// Waits until `calls` calls have arrived at the gate.
    pub async fn reached(&self, calls: usize) {
        self.wait_for(|state| state.arrived >= calls).await;
    }

    /// Arrives, and waits until it is open.
    pub async fn passed(&self) {
        self.0.send_modify(|state| state.arrived += 1);
        self.wait_for(|state| state.is_open).await;
    }

    async fn wait_for(&self, condition: impl FnMut(&GateState) -> bool) {
        let mut receiver = self.0.subscribe();
        receiver.wait_for(condition).await.map(|_| ()).expect("the gate itself holds the sender");
    }
}

/// The script of a faulty store. Clones are the same script.
#[derive(Debug, Clone)]
pub struct Faults {
    methods: &'static [&'static str],
    scripts: Arc<Mutex<HashMap<&'static str, Script>>>,
    /// Calls that go on without their callers.
    late: TaskTracker,
}

#[derive(Debug)]
struct Script {
    /// What happens to the next calls.
    next: VecDeque<Fault>,
    /// What happens to all later ones.
    then: Fault,
    calls: usize,
}

impl Faults {
    fn of(methods: &'static [&'static str]) -> Self {
        Self { methods, scripts: Arc::default(), late: TaskTracker::new() }
    }

    /// What happens to the next calls of `method`, one after the other, behind what was planned before.
    ///
    /// # Panics
    /// If the port has no such method.
    pub fn next(&self, method: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.edit(method, |script| script.next.extend(faults));
    }

    /// What happens to every call of `method` from now on, behind those planned by [`next`](Self::next).
    ///
    /// # Panics
    /// If the port has no such method.
    pub fn always(&self, method: &'static str, fault: Fault) {
        self.edit(method, |script| script.then = fault);
    }

    /// What happens to every call of every method from now on.
    pub fn all(&self, fault: &Fault) {
        for method in self.methods {
            self.always(method, fault.clone());
        }
    }

    /// Nothing fails any more; calls at a gate stay there.
    pub fn heal(&self) {
        for script in self.lock().values_mut() {
            script.next.clear();
            script.then = Fault::None;
        }
    }

    /// How often `method` was called.
    ///
    /// # Panics
    /// If the port has no such method.
    #[must_use]
    pub fn calls(&self, method: &'static str) -> usize {
        self.edit(method, |script| script.calls)
    }

    fn edit<T>(&self, method: &'static str, edit: impl FnOnce(&mut Script) -> T) -> T {
        assert!(self.methods.contains(&method), "the port has no method {method}");
        let mut scripts = self.lock();
        let new = || Script { next: VecDeque::new(), then: Fault::None, calls: 0 };
        edit(scripts.entry(method).or_insert_with(new))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<&'static str, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, method: &'static str) -> Fault {
        self.edit(method, |script| {
            script.calls += 1;
            script.next.pop_front().unwrap_or_else(|| script.then.clone())
        })
    }

    /// A call that can go on without its caller.
    async fn around_owned<T: Send + 'static>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (gate, is_waited_for) = match self.fault(method) {
            Fault::Late(gate) => (gate, true),
            Fault::Unfinished(gate) => (gate, false),
            fault => return Self::apply(fault, call).await,
        };
        let late = self.late.spawn(async move {
            gate.passed().await;
            call.await
        });
        if is_waited_for {
            return late.await.unwrap_or_else(|lost| Err(StoreError::timeout(lost)));
        }
        Err(StoreError::timeout("planned by the test"))
    }

    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        Self::apply(self.fault(method), call).await
    }

    async fn apply<T>(
        fault: Fault,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        match fault {
            Fault::None => call.await,
            Fault::Unavailable => Err(StoreError::unavailable("planned by the test")),
            Fault::Lost => Err(StoreError::timeout("planned by the test")),
            Fault::Corrupt => Err(StoreError::corrupt("planned by the test")),
            Fault::AnswerLost => {
                call.await?;
                Err(StoreError::timeout("planned by the test"))
            }
            Fault::HeldBefore(gate) => {
                gate.passed().await;
                call.await
            }
            Fault::HeldAfter(gate) => {
                let answer = call.await;
                gate.passed().await;
                answer
            }
            Fault::Late(_) | Fault::Unfinished(_) => panic!("only calls of room stores go on by themselves"),
            Fault::PanicBefore => panic!("planned by the test"),
            Fault::PanicAfter => {
                call.await?;
                panic!("planned by the test")
            }
        }
    }
}

/// Defines a decorator of a port whose methods are all async and answer `Result<_, StoreError>`.
macro_rules! faulty {
    (@around $self:ident $method:ident($($argument:ident),*)) => {
        $self.faults.around(stringify!($method), $self.inner.$method($($argument),*)).await
    };
    (@around_owned $self:ident $method:ident($($argument:ident),*)) => {{
        let inner = Arc::clone(&$self.inner);
        let call = async move { inner.$method($($argument),*).await };
        $self.faults.around_owned(stringify!($method), call).await
    }};
    (
        $(#[$doc:meta])*
        $name:ident decorates $port:ident by $around:ident;
        $(fn $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            inner: Arc<dyn $port>,
            faults: Faults,
        }

        impl $name {
            /// Decorates `inner`; the script lets everything through until it is told otherwise.
            #[must_use]
            pub fn new(inner: Arc<dyn $port>) -> Self {
                Self { inner, faults: Faults::of(&[$(stringify!($method)),*]) }
            }

            /// The script.
            #[must_use]
            pub fn faults(&self) -> Faults {
                self.faults.clone()
            }
        }

        #[async_trait]
        impl $port for $name {
            $(
                async fn $method(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                    faulty!(@$around self $method($($argument),*))
                }
            )*
        }
    };
}

faulty! {
    /// A [`RoomStore`] that fails as its [`Faults`] say.
    FaultyRoomStore decorates RoomStore by around_owned;
    fn epoch() -> String;
    fn create(new: NewConversation) -> Creation;
    fn conversation(conversation: ConversationId) -> Option<Conversation>;
    fn heads(conversations: Vec<ConversationId>) -> Vec<(ConversationId, Head)>;
    fn append(conversation: ConversationId, expected: Head, drafts: Vec<Draft>) -> Append;
    fn entry(conversation: ConversationId, id: EntryId) -> Option<Entry>;
    fn entries(conversation: ConversationId, range: EntryRange) -> EntryPage;
    fn messages(conversation: ConversationId, query: MessageQuery) -> MessagePage;
    fn member(conversation: ConversationId, user: UserId) -> Option<Member>;
    fn members(conversation: ConversationId, after: Option<UserId>, limit: u32) -> Vec<Member>;
    fn my_conversations(user: UserId, page: MembershipPage) -> Vec<MyConversation>;
    fn standings(user: UserId, after: Option<ConversationId>, limit: u32) -> Vec<Standing>;
    fn room_count(user: UserId) -> u32;
    fn discover(query: RoomQuery) -> Vec<Conversation>;
    fn all_conversations(after: Option<ConversationId>, limit: u32) -> Vec<Conversation>;
    fn mark_read(conversation: ConversationId, user: UserId, seq: Seq) -> Option<Seq>;
    fn sharing(user: UserId, others: Vec<UserId>) -> Vec<UserId>;
}

faulty! {
    /// An [`AccountStore`] that fails as its [`Faults`] say.
    FaultyAccountStore decorates AccountStore by around;
    fn create_account(account: NewAccount) -> AccountCreation;
    fn account(user: UserId) -> Option<Account>;
    fn account_by_name(name: &UsernameKeys) -> Option<Account>;
    fn accounts(users: Vec<UserId>) -> Vec<Account>;
    fn all_accounts(after: Option<UserId>, limit: u32) -> Vec<StoredAccount>;
    fn set_password(user: UserId, expected: &str, hash: &str, reason: PasswordWrite) -> bool;
    fn set_display_name(user: UserId, name: &DisplayName) -> ();
    fn record_login(user: UserId, at: Timestamp) -> ();
    fn record_seen(seen: Vec<(UserId, Timestamp)>) -> ();
    fn set_disabled(user: UserId, disabled: bool) -> bool;
    fn create_session(session: Session) -> ();
    fn session_by_access(access: TokenHash) -> Option<Session>;
    fn session_by_refresh(refresh: TokenHash) -> Option<SessionMatch>;
    fn rotate_session(session: SessionId, expected: TokenHash, tokens: SessionTokens) -> Rotation;
    fn touch_session(session: SessionId, at: Timestamp) -> ();
    fn sessions_of(user: UserId) -> Vec<Session>;
    fn end_sessions(sessions: Vec<SessionId>, at: Timestamp) -> Vec<Revocation>;
    fn revocations_since(since: Timestamp) -> Vec<Revocation>;
    fn was_ended(access: TokenHash) -> bool;
    fn remove_expired(now: Timestamp) -> ();
}

//! An `Auth` that fails on command, around one that works.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_core::domain::{DisplayName, Profile, SessionInfo};
use chat_core::error::AuthError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Auth, ClientContext, Credentials, Grant, Identity, Registration};
use chat_core::time::Timestamp;
use chat_testkit::double::{FakeAuth, Gate};
use secrecy::SecretString;

/// What no client may ever read.
pub(crate) const MARKER: &str = "planned by the test";

/// What happens to every call of a method.
#[derive(Debug, Clone)]
pub(crate) enum AuthFault {
    Unavailable,
    Timeout,
    Internal,
    Panic,
    Hang,
    /// It happens, and its answer waits at the gate.
    HeldAfter(Gate),
}

#[derive(Debug)]
pub(crate) struct FaultyAuth {
    inner: Arc<FakeAuth>,
    faults: Mutex<HashMap<&'static str, AuthFault>>,
}

impl FaultyAuth {
    pub(crate) fn new(inner: Arc<FakeAuth>) -> Self {
        Self { inner, faults: Mutex::default() }
    }

    pub(crate) fn always(&self, method: &'static str, fault: AuthFault) {
        self.faults.lock().unwrap().insert(method, fault);
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    async fn around<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, AuthError>> + Send,
    ) -> Result<T, AuthError> {
        let fault = self.faults.lock().unwrap().get(method).cloned();
        match fault {
            None => call.await,
            Some(AuthFault::Unavailable) => Err(AuthError::Unavailable(MARKER.into())),
            Some(AuthFault::Timeout) => Err(AuthError::Timeout(MARKER.into())),
            Some(AuthFault::Internal) => Err(AuthError::Internal(MARKER.into())),
            Some(AuthFault::Panic) => panic!("{MARKER}"),
            Some(AuthFault::Hang) => std::future::pending().await,
            Some(AuthFault::HeldAfter(gate)) => {
                let answer = call.await;
                gate.passed().await;
                answer
            }
        }
    }
}

macro_rules! delegate {
    ($(fn $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Auth for FaultyAuth {
            $(
                async fn $method(&self, $($argument: $type),*) -> Result<$answer, AuthError> {
                    self.around(stringify!($method), self.inner.$method($($argument),*)).await
                }
            )*
        }
    };
}

delegate! {
    fn authenticate(token: &str, client: &ClientContext) -> Identity;
    fn find_user(name: &str) -> Option<UserId>;
    fn profiles(users: Vec<UserId>) -> Vec<Profile>;
    fn register(registration: Registration, client: &ClientContext) -> UserId;
    fn login(credentials: Credentials, client: &ClientContext) -> Grant;
    fn refresh(refresh_token: &SecretString, client: &ClientContext) -> Grant;
    fn sessions(user: UserId) -> Vec<SessionInfo>;
    fn end_session(user: UserId, session: SessionId) -> ();
    fn change_password(user: UserId, keep: SessionId, old: SecretString, new: SecretString) -> Vec<SessionId>;
    fn set_display_name(user: UserId, name: DisplayName) -> ();
    fn record_seen(seen: Vec<(UserId, Timestamp)>) -> ();
    fn ended_since(since: Timestamp) -> Vec<(UserId, SessionId)>;
}

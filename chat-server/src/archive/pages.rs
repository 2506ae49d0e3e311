//! Everything that a store has, page by page in the order of ids, and how patient one is
//! with a store.

use std::collections::VecDeque;
use std::time::Duration;

use chat_core::domain::Conversation;
use chat_core::error::{Retry, StoreError};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::StoredAccount;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use crate::exit::{Code, Failure};
use crate::stores::Stores;

const ACCOUNTS: u32 = 500;
const CONVERSATIONS: u32 = 200;
/// How long a store may be away before the work is given up: an election of a replica set takes less.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Calls a store until it answers. Everything that is asked here may be repeated.
///
/// # Errors
/// The store has been away for too long, or says that its data are damaged.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match error.retry() {
            Retry::Never => return Err(Failure::new(Code::DataError, error.to_string())),
            _ if Instant::now() >= deadline => {
                return Err(Failure::new(Code::InputOutput, error.to_string()));
            }
            _ => tracing::warn!(%error, "trying again"),
        }
        sleep(PAUSE).await;
    }
}

/// Answers the page above a key.
type Fetch<'a, T, K> = Box<dyn Fn(Option<K>) -> BoxFuture<'a, Result<Vec<T>, StoreError>> + Send + Sync + 'a>;

/// Items in the order of their keys.
pub(super) struct Pages<'a, T, K> {
    fetch: Fetch<'a, T, K>,
    key: fn(&T) -> K,
    page: VecDeque<T>,
    last: Option<K>,
    has_ended: bool,
}

impl<T, K: Copy> Pages<'_, T, K> {
    /// The next item.
    ///
    /// # Errors
    /// As [`patiently`].
    pub(super) async fn next(&mut self) -> Result<Option<T>, Failure> {
        self.peek().await?;
        Ok(self.page.pop_front())
    }

    /// The next item, which stays the next.
    ///
    /// # Errors
    /// As [`patiently`].
    pub(super) async fn peek(&mut self) -> Result<Option<&T>, Failure> {
        if self.page.is_empty() && !self.has_ended {
            self.page = patiently(|| (self.fetch)(self.last)).await?.into();
            self.has_ended = self.page.is_empty();
            self.last = self.page.back().map(self.key).or(self.last);
        }
        Ok(self.page.front())
    }
}

/// All accounts.
pub(super) fn accounts(stores: &Stores) -> Pages<'_, StoredAccount, UserId> {
    let fetch = |after| -> BoxFuture<'_, _> { stores.accounts.all_accounts(after, ACCOUNTS) };
    let (page, last, has_ended) = (VecDeque::new(), None, false);
    Pages { fetch: Box::new(fetch), key: |stored| stored.account.user_id, page, last, has_ended }
}

/// All conversations, each at its head when its page was read.
pub(super) fn conversations(stores: &Stores) -> Pages<'_, Conversation, ConversationId> {
    let fetch = |after| -> BoxFuture<'_, _> { stores.rooms.all_conversations(after, CONVERSATIONS) };
    let (page, last, has_ended) = (VecDeque::new(), None, false);
    Pages { fetch: Box::new(fetch), key: |conversation| conversation.id, page, last, has_ended }
}

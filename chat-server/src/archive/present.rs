//! What is in a store already: nothing, or a part of the same archive, or other data, into
//! which nothing is imported.

use chat_core::domain::{Conversation, ConversationKind, Seq};
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::port::{Account, EntryRange, StoredAccount};
use tokio::runtime::Handle;

use super::format::Line;
use super::pages::{self, Pages, patiently};
use super::source::{Place, Source};
use crate::exit::{Code, Failure};
use crate::stores::Stores;

/// Whether something of the archive is in the store. The archive was verified.
///
/// # Errors
/// There is something else in it.
pub(super) async fn check(stores: &Stores, source: &Source) -> Result<bool, Failure> {
    let accounts = pages::accounts(stores).peek().await?.is_some();
    if !accounts && pages::conversations(stores).peek().await?.is_none() {
        return Ok(false);
    }
    let (stores, source, runtime) = (stores.clone(), source.clone(), Handle::current());
    let walking = tokio::task::spawn_blocking(move || {
        let walk = Walk {
            stores: &stores,
            source: &source,
            runtime,
            accounts: pages::accounts(&stores),
            conversations: pages::conversations(&stores),
            newest: None,
        };
        walk.whole()
    });
    walking.await.map_err(anyhow::Error::from)??;
    Ok(true)
}

/// Goes along the archive and the store, both in the order of ids.
struct Walk<'a> {
    stores: &'a Stores,
    source: &'a Source,
    runtime: Handle,
    accounts: Pages<'a, StoredAccount, UserId>,
    conversations: Pages<'a, Conversation, ConversationId>,
    /// The newest entry that the store has of the archive's conversation.
    newest: Option<(Seq, EntryId)>,
}

impl Walk<'_> {
    fn whole(mut self) -> Result<(), Failure> {
        let (mut lines, mut text) = (self.source.lines(Place::START), Vec::new());
        lines.read(&mut text)?; // the header
        while let Some(place) = lines.read(&mut text)? {
            let line = Line::decode(&text).map_err(|what| self.source.damaged(place.line, &what))?;
            match line {
                Line::Account(archived) => self.account(&archived)?,
                Line::Conversation(archived) => {
                    self.end_accounts()?;
                    self.conversation(&archived)?;
                }
                Line::Entry { seq, draft } => {
                    if self.newest.is_some_and(|(at, id)| at == seq && id != draft.id) {
                        return Err(self.other(&format!("entry {seq} of a conversation")));
                    }
                }
                Line::Read(_) => {}
                Line::End(_) => {
                    self.end_accounts()?;
                    if let Some(more) = self.runtime.block_on(self.conversations.peek())? {
                        let what = format!("conversation {}", more.id);
                        return Err(self.other(&what));
                    }
                }
            }
        }
        Ok(())
    }

    fn account(&mut self, archived: &StoredAccount) -> Result<(), Failure> {
        let Some(present) = self.runtime.block_on(self.accounts.peek())? else { return Ok(()) };
        if present.account.user_id > archived.account.user_id {
            return Ok(());
        }
        if present.account.user_id < archived.account.user_id || !may_become(present, archived) {
            let what = format!("account {}", present.account.user_id);
            return Err(self.other(&what));
        }
        self.runtime.block_on(self.accounts.next()).map(drop)
    }

    fn end_accounts(&mut self) -> Result<(), Failure> {
        let Some(more) = self.runtime.block_on(self.accounts.peek())? else { return Ok(()) };
        let what = format!("account {}", more.account.user_id);
        Err(self.other(&what))
    }

    fn conversation(&mut self, archived: &Conversation) -> Result<(), Failure> {
        self.newest = None;
        let Some(present) = self.runtime.block_on(self.conversations.peek())?.cloned() else { return Ok(()) };
        if present.id > archived.id {
            return Ok(());
        }
        if present.id < archived.id || !is_part_of(&present, archived) {
            return Err(self.other(&format!("conversation {}", present.id)));
        }
        let upto = present.head.seq;
        let range = EntryRange { after: upto.previous(), upto, limit: 1, max_bytes: usize::MAX };
        let rooms = &self.stores.rooms;
        let page = self.runtime.block_on(patiently(|| rooms.entries(present.id, range)))?;
        self.newest = page.entries.last().map(|entry| (entry.seq, entry.id));
        self.runtime.block_on(self.conversations.next()).map(drop)
    }

    fn other(&self, what: &str) -> Failure {
        let message = format!(
            "the store has other data: its {what} is not that of {}. Import into an empty store, or into one in \
             which an import of this archive was interrupted; nothing was written",
            self.source.name()
        );
        Failure::new(Code::CannotCreate, message)
    }
}

/// Whether `present` is what an interrupted import has made of `archived`: what is noted after the account is
/// created may be missing.
fn may_become(present: &StoredAccount, archived: &StoredAccount) -> bool {
    let is_noted = |present: Option<_>, archived| present.is_none() || present == archived;
    let (now, then) = (&present.account, &archived.account);
    let noted = is_noted(now.last_login, then.last_login) && is_noted(now.last_seen, then.last_seen);
    let marks = Account {
        disabled: then.disabled,
        last_login: then.last_login,
        last_seen: then.last_seen,
        ..now.clone()
    };
    noted && (then.disabled || !now.disabled) && marks == *then && present.username == archived.username
}

/// Whether `present` may be a beginning of `archived`.
fn is_part_of(present: &Conversation, archived: &Conversation) -> bool {
    let is_same_kind = match (&present.kind, &archived.kind) {
        (ConversationKind::Room { .. }, ConversationKind::Room { .. }) => {
            present.visibility() == archived.visibility()
        }
        (present, archived) => present == archived,
    };
    let born = |conversation: &Conversation| (conversation.created_by, conversation.created_at);
    is_same_kind && born(present) == born(archived) && present.head.seq <= archived.head.seq
}

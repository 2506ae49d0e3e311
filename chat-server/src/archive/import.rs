//! From a verified archive into a store. Whatever is written has the ids of the archive, so
//! everything here may be repeated: after an answer that was lost, and after a crash.

use std::io::{self, BufRead, BufReader, Write};
use std::sync::Arc;

use chat_core::domain::{ConversationKind, Entry, Head};
use chat_core::id::ConversationId;
use chat_core::port::{
    AccountCreation, Append, Appended, Creation, EntryRange, NewAccount, NewConversation, StoredAccount,
};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::task::{JoinSet, block_in_place};

use super::batches::{Batch, Log, Opening};
use super::export::{self, Broken};
use super::format::{End, ReadPosition, draft_of};
use super::pages::patiently;
use super::progress::Progress;
use super::source::{Part, Place, Source};
use crate::exit::{Code, Failure};
use crate::stores::Stores;

/// Accounts that are written at once: a store commits together what arrives together.
const ACCOUNTS_AT_ONCE: usize = 64;
/// Conversations that are written at once. Of each there is one append under way.
const CONVERSATIONS_AT_ONCE: usize = 32;
/// Read positions of a conversation that are written at once.
const READS_AT_ONCE: usize = 32;
/// Heads that an append may find before somebody else must be writing.
const CONFLICTS: usize = 3;

/// Writes what is in the archive and not in the store. `is_begun`: the store has a part of it.
///
/// # Errors
/// The store fails, or answers something else than what is in the archive.
pub(super) async fn write(
    stores: &Stores,
    source: &Source,
    is_begun: bool,
    progress: &Arc<Progress>,
) -> Result<(), Failure> {
    let mut opening = block_in_place(|| Opening::new(source))?;
    loop {
        let accounts = block_in_place(|| opening.accounts())?;
        if accounts.is_empty() {
            break;
        }
        let count = accounts.len();
        let writes = stream::iter(accounts).map(|stored| put_account(stores, stored, is_begun));
        writes.buffer_unordered(ACCOUNTS_AT_ONCE).try_collect::<()>().await?;
        progress.add_accounts(count);
    }
    let mut beginnings = block_in_place(|| opening.conversations());
    let mut writes = JoinSet::new();
    while let Some(place) = block_in_place(|| beginnings.next())? {
        if writes.len() == CONVERSATIONS_AT_ONCE {
            one_of(&mut writes).await?;
        }
        writes.spawn(put_conversation(stores.clone(), source.clone(), place, Arc::clone(progress)));
    }
    while !writes.is_empty() {
        one_of(&mut writes).await?;
    }
    Ok(())
}

/// Waits for the end of one of `writes`.
async fn one_of(writes: &mut JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    match writes.join_next().await {
        Some(ended) => ended.map_err(anyhow::Error::from)?,
        None => Ok(()),
    }
}

async fn put_account(stores: &Stores, stored: StoredAccount, is_begun: bool) -> Result<(), Failure> {
    let StoredAccount { account, username } = stored;
    let (store, user) = (&stores.accounts, account.user_id);
    if is_begun && patiently(|| store.account(user)).await?.as_ref() == Some(&account) {
        return Ok(());
    }
    let new = NewAccount {
        user_id: user,
        username,
        display_name: account.display_name,
        email: account.email,
        password_hash: account.password_hash,
        created_at: account.created_at,
    };
    if patiently(|| store.create_account(new.clone())).await? == AccountCreation::NameTaken {
        return Err(Failure::new(
            Code::DataError,
            format!("the name of account {user}, or one that looks like it, belongs to another account"),
        ));
    }
    if account.disabled {
        patiently(|| store.set_disabled(user, true)).await?;
    }
    if let Some(at) = account.last_login {
        patiently(|| store.record_login(user, at)).await?;
    }
    if let Some(at) = account.last_seen {
        patiently(|| store.record_seen(vec![(user, at)])).await?;
    }
    Ok(())
}

async fn put_conversation(
    stores: Stores,
    source: Source,
    place: Place,
    progress: Arc<Progress>,
) -> Result<(), Failure> {
    let mut log = block_in_place(|| Log::at(&source, place))?;
    let mut target = Target { stores, id: log.conversation.id, head: Head::default() };
    while let Some(batch) = block_in_place(|| log.batch())? {
        match batch {
            Batch::Entries(entries) => {
                let count = entries.len();
                if target.head == Head::default() {
                    target.create(&log, &entries).await?;
                }
                target.entries(entries).await?;
                progress.add_entries(count);
            }
            Batch::Reads(reads) => target.reads(reads).await?,
        }
    }
    progress.add_conversations(1);
    Ok(())
}

/// A conversation in the store that is written to.
struct Target {
    stores: Stores,
    id: ConversationId,
    /// How far its log has come there.
    head: Head,
}

impl Target {
    /// Creates the conversation, which brings its first entry, or finds how far an earlier import has come.
    async fn create(&mut self, log: &Log, first: &[Entry]) -> Result<(), Failure> {
        let archived = &log.conversation;
        let entry_id = first.first().map(|entry| entry.id).ok_or_else(|| self.differs("its creation"))?;
        let new = NewConversation {
            id: archived.id,
            kind: archived.kind.clone(),
            created_by: archived.created_by,
            created_at: archived.created_at,
            entry_id,
        };
        let creation = patiently(|| self.stores.rooms.create(new.clone())).await?;
        let (Creation::New(conversation) | Creation::Existing(conversation)) = creation;
        if conversation.id != archived.id {
            let what = match archived.kind {
                ConversationKind::Private(_) => "its pair, which has another private chat",
                ConversationKind::Room { .. } => "its id",
            };
            return Err(self.differs(what));
        }
        self.head = conversation.head;
        Ok(())
    }

    /// Appends what the log does not have yet; what it has must be the same.
    async fn entries(&mut self, entries: Vec<Entry>) -> Result<(), Failure> {
        let is_there = |entry: &Entry| entry.seq <= self.head.seq;
        let new = entries.iter().position(|entry| !is_there(entry)).unwrap_or(entries.len());
        let (there, new) = entries.split_at(new);
        if let (Some(first), Some(last)) = (there.first(), there.last()) {
            let (after, upto) = (first.seq.previous(), last.seq);
            let limit = u32::try_from(there.len()).unwrap_or(u32::MAX);
            let range = EntryRange { after, upto, limit, max_bytes: usize::MAX };
            let page = patiently(|| self.stores.rooms.entries(self.id, range)).await?;
            if page.entries != there {
                return Err(self.differs(&format!("one of its entries {} to {upto}", first.seq)));
            }
        }
        if new.is_empty() { Ok(()) } else { self.append(new).await }
    }

    async fn append(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let drafts: Vec<_> = entries.iter().map(draft_of).collect();
        for _ in 0..CONFLICTS {
            let append = patiently(|| self.stores.rooms.append(self.id, self.head, drafts.clone())).await?;
            match append {
                Append::Done(appended) => {
                    let stored =
                        appended.iter().map(|(Appended::New(entry) | Appended::Duplicate(entry))| entry);
                    if !stored.eq(entries) {
                        let first = entries.first().map(|entry| entry.seq).unwrap_or_default();
                        return Err(self.differs(&format!("an entry from {first} on")));
                    }
                    self.head = entries.last().map_or(self.head, Entry::head);
                    return Ok(());
                }
                // An append whose answer was lost has written some of them.
                Append::Conflict(head) => self.head = head,
            }
        }
        Err(self.differs("its head, to which somebody else writes"))
    }

    async fn reads(&self, reads: Vec<ReadPosition>) -> Result<(), Failure> {
        let writes = stream::iter(reads).map(|read| async move {
            let marked = patiently(|| self.stores.rooms.mark_read(self.id, read.user, read.seq)).await?;
            if marked == Some(read.seq) {
                return Ok(());
            }
            Err(self.differs(&format!("the read position of {}", read.user)))
        });
        writes.buffer_unordered(READS_AT_ONCE).try_collect().await
    }

    fn differs(&self, what: &str) -> Failure {
        let message = format!("conversation {} in the store differs from the archive in {what}", self.id);
        Failure::new(Code::DataError, message)
    }
}

/// Exports the store once more, and compares every byte with the archive.
///
/// # Errors
/// The store is not what the archive says.
pub(super) async fn compare(
    stores: &Stores,
    source: &Source,
    end: &End,
    progress: &Progress,
) -> Result<(), Failure> {
    let differs = |what: &str| {
        let message = format!("the store does not hold what is in {}: {what}. Do not use it", source.name());
        Failure::new(Code::DataError, message)
    };
    match export::write(stores, Twin::of(source), progress).await {
        Ok((found, _)) if found == *end => Ok(()),
        Ok(_) => Err(differs("counts or checksum differ")),
        Err(Broken::Output(error)) => Err(differs(&error.to_string())),
        Err(Broken::Store(failure)) => Err(failure),
    }
}

/// Takes exactly the bytes of an archive.
struct Twin {
    bytes: BufReader<Part>,
    line: u64,
}

impl Twin {
    fn of(source: &Source) -> Self {
        Self { bytes: BufReader::new(source.bytes()), line: 1 }
    }
}

impl Write for Twin {
    fn write(&mut self, written: &[u8]) -> io::Result<usize> {
        let expected = self.bytes.fill_buf()?;
        let length = expected.len().min(written.len());
        let same = expected.iter().zip(written).take_while(|(one, other)| one == other).count();
        let lines = expected[..same].iter().filter(|byte| **byte == b'\n').count();
        self.line += lines as u64;
        if same < length || (length == 0 && !written.is_empty()) {
            return Err(io::Error::other(format!("line {} differs", self.line)));
        }
        self.bytes.consume(same);
        Ok(same)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

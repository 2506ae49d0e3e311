//! From a store to an archive. Pages are read ahead here and written by a thread, so that the
//! store, the checksum and the disk work at the same time.

use std::collections::VecDeque;
use std::io::{self, Write};

use chat_core::domain::{Conversation, Entry, Member, Seq};
use chat_core::port::{EntryPage, EntryRange};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::task::TaskTracker;

use super::check::Checker;
use super::checksum::Hashing;
use super::format::{self, End, Line, ReadPosition};
use super::pages::{self, patiently};
use super::progress::Progress;
use crate::exit::{self, Code, Failure};
use crate::stores::Stores;

/// Conversations whose first pages are read ahead: most are small, and a store far away answers each late.
const AHEAD: usize = 16;
/// Entries of a page.
const ENTRIES: u32 = 1_000;
/// Bytes of a page's contents.
const ENTRIES_BYTES: usize = 256 * 1_024;
/// Members of a page.
const MEMBERS: u32 = 500;
/// Bytes that go to the writing thread at once.
const CHUNK_BYTES: usize = 64 * 1_024;
/// Chunks that wait for it.
const CHUNKS: usize = 16;

/// Why an archive was not written.
#[derive(Debug)]
pub(super) enum Broken {
    /// The store cannot be read.
    Store(Failure),
    /// What it is written to takes no more.
    Output(io::Error),
}

impl Broken {
    /// As the end of a command that writes to standard output.
    pub(super) fn of_standard_output(self) -> Failure {
        match self {
            Self::Store(failure) => failure,
            Self::Output(error) => exit::cannot_write("the archive to standard output", &error),
        }
    }

    /// As the end of a command that writes to the file `name`.
    pub(super) fn of(self, name: &str) -> Failure {
        match self {
            Self::Store(failure) => failure,
            Self::Output(error) => Failure::new(Code::CannotCreate, format!("cannot write {name}: {error}")),
        }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Store(failure)
    }
}

/// Writes everything in `stores` to `to`. Answers the last line, and `to`.
///
/// # Errors
/// The store cannot be read or contradicts itself, or `to` takes no more.
pub(super) async fn write<W: Write + Send + 'static>(
    stores: &Stores,
    to: W,
    progress: &Progress,
) -> Result<(End, W), Broken> {
    let (chunks, thread) = writing_thread(to);
    let mut writer = Writer { chunk: Vec::with_capacity(CHUNK_BYTES), chunks, checker: Checker::default() };
    let written = writer.everything(stores, progress).await;
    let Writer { chunks, mut checker, .. } = writer;
    drop(chunks);
    let mut output = thread.await.map_err(broken_off)?.map_err(Broken::Output)?;
    // If the thread ended early, why it did is the better answer.
    written?;
    let end = End { counts: checker.finish().map_err(contradiction)?, sha256: output.hex() };
    let mut text = Vec::new();
    Line::End(end.clone()).encode(&mut text).map_err(contradiction)?;
    text.push(b'\n');
    let last = spawn_blocking(move || {
        output.write_all(&text)?;
        output.flush()?;
        Ok(output.to)
    });
    let to = last.await.map_err(broken_off)?.map_err(Broken::Output)?;
    Ok((end, to))
}

type Output<W> = io::Result<Hashing<W>>;

fn writing_thread<W: Write + Send + 'static>(to: W) -> (mpsc::Sender<Vec<u8>>, JoinHandle<Output<W>>) {
    let (sender, mut chunks) = mpsc::channel::<Vec<u8>>(CHUNKS);
    let thread = spawn_blocking(move || {
        let mut output = Hashing::new(to);
        while let Some(chunk) = chunks.blocking_recv() {
            output.write_all(&chunk)?;
        }
        Ok(output)
    });
    (sender, thread)
}

fn broken_off(error: tokio::task::JoinError) -> Broken {
    Broken::Store(anyhow::Error::from(error).into())
}

fn contradiction(what: String) -> Broken {
    Broken::Store(Failure::new(Code::DataError, format!("the store contradicts itself: {what}")))
}

/// The first pages of a conversation.
struct Begun {
    conversation: Conversation,
    entries: EntryPage,
    members: Vec<Member>,
}

async fn begin(stores: Stores, conversation: Conversation) -> Result<Begun, Failure> {
    let entries = entries_after(&stores, &conversation, Seq::ZERO);
    let members = patiently(|| stores.rooms.members(conversation.id, None, MEMBERS));
    let (entries, members) = tokio::try_join!(entries, members)?;
    Ok(Begun { conversation, entries, members })
}

async fn entries_after(
    stores: &Stores,
    conversation: &Conversation,
    after: Seq,
) -> Result<EntryPage, Failure> {
    let upto = conversation.head.seq;
    let range = EntryRange { after, upto, limit: ENTRIES, max_bytes: ENTRIES_BYTES };
    patiently(|| stores.rooms.entries(conversation.id, range)).await
}

struct Writer {
    chunk: Vec<u8>,
    chunks: mpsc::Sender<Vec<u8>>,
    checker: Checker,
}

impl Writer {
    async fn everything(&mut self, stores: &Stores, progress: &Progress) -> Result<(), Broken> {
        self.chunk.extend_from_slice(format::header().as_bytes());
        self.end_line().await?;
        let mut accounts = pages::accounts(stores);
        while let Some(stored) = accounts.next().await? {
            self.checker.account(&stored).map_err(contradiction)?;
            format::encode_account(&stored, &mut self.chunk).map_err(contradiction)?;
            self.end_line().await?;
            progress.add_accounts(1);
        }
        let mut conversations = pages::conversations(stores);
        // Tasks, and not only futures: one that nobody polls for a while would keep its place at the store from others.
        let (tasks, mut ahead) = (TaskTracker::new(), VecDeque::with_capacity(AHEAD));
        loop {
            while ahead.len() < AHEAD
                && let Some(conversation) = conversations.next().await?
            {
                ahead.push_back(tasks.spawn(begin(stores.clone(), conversation)));
            }
            let Some(next) = ahead.pop_front() else { break };
            let begun = next.await.map_err(broken_off)??;
            self.conversation(stores, begun, progress).await?;
            progress.add_conversations(1);
        }
        tasks.close();
        tasks.wait().await;
        self.flush().await
    }

    async fn conversation(
        &mut self,
        stores: &Stores,
        begun: Begun,
        progress: &Progress,
    ) -> Result<(), Broken> {
        let Begun { conversation, mut entries, members } = begun;
        self.checker.conversation(&conversation).map_err(contradiction)?;
        format::encode_conversation(&conversation, &mut self.chunk).map_err(contradiction)?;
        self.end_line().await?;
        while let Some(last) = entries.entries.last().map(|entry| entry.seq) {
            progress.add_entries(entries.entries.len());
            for entry in &entries.entries {
                self.entry(entry).await?;
            }
            if !entries.more {
                break;
            }
            entries = entries_after(stores, &conversation, last).await?;
        }
        self.read_positions(stores, &conversation, members).await
    }

    async fn entry(&mut self, entry: &Entry) -> Result<(), Broken> {
        self.checker.entry(entry).map_err(contradiction)?;
        format::encode_entry(entry, &mut self.chunk).map_err(contradiction)?;
        self.end_line().await
    }

    /// How far members have read whose latest join is below the head. Who joined or read on after the head was
    /// read is as at the head.
    async fn read_positions(
        &mut self,
        stores: &Stores,
        conversation: &Conversation,
        mut members: Vec<Member>,
    ) -> Result<(), Broken> {
        while let Some(last) = members.last().map(|member| member.user_id) {
            let is_last_page = members.len() < MEMBERS as usize;
            for member in members {
                let read =
                    ReadPosition { user: member.user_id, seq: member.read_seq.min(conversation.head.seq) };
                if read.seq > member.since_seq {
                    self.checker.read(read).map_err(contradiction)?;
                    Line::Read(read).encode(&mut self.chunk).map_err(contradiction)?;
                    self.end_line().await?;
                }
            }
            if is_last_page {
                break;
            }
            members = patiently(|| stores.rooms.members(conversation.id, Some(last), MEMBERS)).await?;
        }
        Ok(())
    }

    async fn end_line(&mut self) -> Result<(), Broken> {
        self.chunk.push(b'\n');
        if self.chunk.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let closed = |_| Broken::Output(io::Error::other("the writing thread has ended"));
        self.chunks.send(chunk).await.map_err(closed)
    }
}

//! A verified archive in the portions in which a store takes it.

use chat_core::domain::{Conversation, Entry, Head};
use chat_core::limits::hard;
use chat_core::port::StoredAccount;

use super::format::{self, Line, ReadPosition};
use super::source::{Lines, Place, Source};
use crate::exit::Failure;

/// Accounts of a portion.
const ACCOUNTS: usize = 256;
/// Read positions of a portion.
const READ_POSITIONS: usize = 256;

/// The accounts of an archive, and then where its conversations begin.
#[derive(Debug)]
pub(super) struct Opening {
    lines: Lines,
    text: Vec<u8>,
    /// The first line that is no account.
    rest: Option<Place>,
}

impl Opening {
    pub(super) fn new(source: &Source) -> Result<Self, Failure> {
        let (mut lines, mut text) = (source.lines(Place::START), Vec::new());
        lines.read(&mut text)?; // the header
        Ok(Self { lines, text, rest: None })
    }

    /// The next accounts; none at their end.
    pub(super) fn accounts(&mut self) -> Result<Vec<StoredAccount>, Failure> {
        let mut accounts = Vec::new();
        while self.rest.is_none()
            && accounts.len() < ACCOUNTS
            && let Some(place) = self.lines.read(&mut self.text)?
        {
            match decode(&self.lines, place, &self.text)? {
                Line::Account(stored) => accounts.push(stored),
                _ => self.rest = Some(place),
            }
        }
        Ok(accounts)
    }

    /// Where each conversation begins, once the accounts are read.
    pub(super) fn conversations(self) -> Beginnings {
        let place = self.rest.unwrap_or_else(|| self.lines.place());
        Beginnings { lines: self.lines.source().lines(place), text: self.text }
    }
}

/// Where the conversations of an archive begin.
#[derive(Debug)]
pub(super) struct Beginnings {
    lines: Lines,
    text: Vec<u8>,
}

impl Beginnings {
    /// The next one.
    pub(super) fn next(&mut self) -> Result<Option<Place>, Failure> {
        while let Some(place) = self.lines.read(&mut self.text)? {
            if format::begins_conversation(&self.text) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }
}

/// Some lines of a conversation.
#[derive(Debug)]
pub(super) enum Batch {
    /// Entries that one append may hold.
    Entries(Vec<Entry>),
    /// Read positions, behind all entries.
    Reads(Vec<ReadPosition>),
}

/// The lines of one conversation.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) conversation: Conversation,
    lines: Lines,
    text: Vec<u8>,
    head: Head,
    /// A line that was read and belongs to the next portion.
    next: Option<Line>,
}

impl Log {
    /// The conversation that begins at `place`.
    pub(super) fn at(source: &Source, place: Place) -> Result<Self, Failure> {
        let (mut lines, mut text) = (source.lines(place), Vec::new());
        lines.read(&mut text)?;
        match decode(&lines, place, &text)? {
            Line::Conversation(conversation) => {
                Ok(Self { conversation, lines, text, head: Head::default(), next: None })
            }
            _ => Err(source.damaged(place.line, "the archive has changed")),
        }
    }

    /// The next portion; `None` at the end of the conversation.
    pub(super) fn batch(&mut self) -> Result<Option<Batch>, Failure> {
        let (mut entries, mut bytes, mut reads) = (Vec::new(), 0, Vec::new());
        while let Some(line) = self.line()? {
            let is_full = match &line {
                Line::Entry { draft, .. } => {
                    bytes += draft.body.content_bytes();
                    entries.len() == hard::BATCH_ENTRIES || bytes > hard::BATCH_BYTES
                }
                Line::Read(_) => !entries.is_empty() || reads.len() == READ_POSITIONS,
                Line::Account(_) | Line::Conversation(_) | Line::End(_) => true,
            };
            if is_full {
                self.next = Some(line);
                break;
            }
            match line {
                Line::Entry { draft, .. } => {
                    let entry = draft.at(self.conversation.id, self.head);
                    self.head = entry.head();
                    let is_event = !entry.body.is_message();
                    entries.push(entry);
                    if is_event {
                        break;
                    }
                }
                Line::Read(read) => reads.push(read),
                Line::Account(_) | Line::Conversation(_) | Line::End(_) => {}
            }
        }
        match (entries.is_empty(), reads.is_empty()) {
            (false, _) => Ok(Some(Batch::Entries(entries))),
            (true, false) => Ok(Some(Batch::Reads(reads))),
            (true, true) => Ok(None),
        }
    }

    fn line(&mut self) -> Result<Option<Line>, Failure> {
        if let Some(line) = self.next.take() {
            return Ok(Some(line));
        }
        let Some(place) = self.lines.read(&mut self.text)? else { return Ok(None) };
        decode(&self.lines, place, &self.text).map(Some)
    }
}

fn decode(lines: &Lines, place: Place, text: &[u8]) -> Result<Line, Failure> {
    Line::decode(text).map_err(|what| lines.source().damaged(place.line, &what))
}

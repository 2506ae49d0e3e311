//! What must hold between the lines of an archive: their order, their counts, and that each
//! log makes the conversation that its line says. Export passes everything through here on
//! its way out, import before it writes anything: what does not hold is found where it is.
//!
//! Holds the member rows of one conversation at a time, and nothing of its messages.

use std::collections::HashMap;

use chat_core::domain::{
    Conversation, ConversationKind, Draft, Entry, EntryBody, Event, Head, Member, Role, RoomName, Seq, Topic,
};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::StoredAccount;

use super::format::{Counts, ReadPosition};

/// What has come so far.
#[derive(Debug, Default)]
pub(super) struct Checker {
    counts: Counts,
    last_user: Option<UserId>,
    last_conversation: Option<ConversationId>,
    log: Option<Log>,
}

/// The log that comes just now.
#[derive(Debug)]
struct Log {
    /// What its line says.
    conversation: Conversation,
    head: Head,
    /// The newest name and topic that an entry gave.
    name: Option<RoomName>,
    topic: Option<Topic>,
    members: HashMap<UserId, Member>,
    last_reader: Option<UserId>,
}

type Checked<T = ()> = Result<T, String>;

impl Checker {
    /// The next account.
    pub(super) fn account(&mut self, stored: &StoredAccount) -> Checked {
        let user = stored.account.user_id;
        if self.last_conversation.is_some() {
            return Err(format!("account {user} comes behind a conversation"));
        }
        if self.last_user >= Some(user) {
            return Err(format!("account {user} is not in the order of ids"));
        }
        self.last_user = Some(user);
        self.counts.accounts += 1;
        Ok(())
    }

    /// The next conversation.
    pub(super) fn conversation(&mut self, conversation: &Conversation) -> Checked {
        self.finish_log()?;
        let id = conversation.id;
        if self.last_conversation >= Some(id) {
            return Err(format!("conversation {id} is not in the order of ids"));
        }
        if conversation.head.seq == Seq::ZERO {
            return Err(format!("conversation {id} has no entry"));
        }
        self.last_conversation = Some(id);
        self.log = Some(Log::new(conversation.clone()));
        self.counts.conversations += 1;
        Ok(())
    }

    /// The entry that `draft` is as the next one.
    pub(super) fn place(&self, seq: Seq, draft: Draft) -> Checked<Entry> {
        let log = self.log.as_ref().ok_or("an entry before the first conversation")?;
        if seq != log.head.seq.next() {
            return Err(format!("entry {} must follow, not {seq}", log.head.seq.next()));
        }
        Ok(draft.at(log.conversation.id, log.head))
    }

    /// The next entry.
    pub(super) fn entry(&mut self, entry: &Entry) -> Checked {
        let log = self.log.as_mut().ok_or("an entry before the first conversation")?;
        log.add(entry)?;
        self.counts.entries += 1;
        Ok(())
    }

    /// The next read position.
    pub(super) fn read(&mut self, read: ReadPosition) -> Checked {
        let log = self.log.as_mut().ok_or("a read position before the first conversation")?;
        log.read(read)?;
        self.counts.read_positions += 1;
        Ok(())
    }

    /// Nothing follows.
    pub(super) fn finish(&mut self) -> Checked<Counts> {
        self.finish_log()?;
        Ok(self.counts)
    }

    fn finish_log(&mut self) -> Checked {
        self.log.take().map_or(Ok(()), |log| log.finish())
    }
}

impl Log {
    fn new(conversation: Conversation) -> Self {
        Self {
            conversation,
            head: Head::default(),
            name: None,
            topic: None,
            members: HashMap::new(),
            last_reader: None,
        }
    }

    fn add(&mut self, entry: &Entry) -> Checked {
        let Conversation { id, head, .. } = &self.conversation;
        let messages = self.head.messages + u64::from(entry.body.is_message());
        if entry.seq != self.head.seq.next() || entry.messages_so_far != messages {
            return Err(format!("conversation {id} has no entry {} where it must be", self.head.seq.next()));
        }
        if entry.seq > head.seq {
            return Err(format!("conversation {id} has more than its {} entries", head.seq));
        }
        match &entry.body {
            EntryBody::Event(Event::Created) => self.create(entry)?,
            _ if self.head == Head::default() => {
                return Err(format!("conversation {id} does not begin with its creation"));
            }
            EntryBody::Event(event) => self.project(entry, event),
            EntryBody::Message(_) => {}
        }
        self.head = entry.head();
        Ok(())
    }

    /// The first entry and the members that it makes.
    fn create(&mut self, entry: &Entry) -> Checked {
        let Conversation { id, kind, created_by, created_at, .. } = &self.conversation;
        if (entry.by, entry.timestamp) != (*created_by, *created_at) || self.head != Head::default() {
            return Err(format!("conversation {id} was created by another or at another time, or twice"));
        }
        let members = match kind {
            ConversationKind::Room { .. } => vec![(*created_by, Role::Owner)],
            ConversationKind::Private(pair) => pair.users().map(|user| (user, Role::Member)).to_vec(),
        };
        let rows = members.into_iter().map(|(user, role)| (user, Member::by_creation(user, role, entry.seq)));
        self.members.extend(rows);
        Ok(())
    }

    fn project(&mut self, entry: &Entry, event: &Event) {
        if let Event::Updated { name, topic } = event {
            self.name = name.clone().or(self.name.take());
            self.topic = topic.clone().or(self.topic.take());
        }
        let Some(user) = event.user() else { return };
        let before = self.members.get(&user).cloned();
        if let Some(member) = Member::after(before, user, entry.by, event, entry.seq) {
            self.members.insert(user, member);
        }
    }

    fn read(&mut self, read: ReadPosition) -> Checked {
        let (id, head) = (self.conversation.id, self.conversation.head);
        if self.head != head {
            return Err(format!("conversation {id} has {} entries and not {}", self.head.seq, head.seq));
        }
        if self.last_reader >= Some(read.user) {
            return Err(format!("the read position of {} is not in the order of ids", read.user));
        }
        let member = self.members.get(&read.user).filter(|member| member.is_joined());
        if !member.is_some_and(|member| member.since_seq < read.seq && read.seq <= head.seq) {
            return Err(format!("{} cannot have read up to {} in conversation {id}", read.user, read.seq));
        }
        self.last_reader = Some(read.user);
        Ok(())
    }

    /// Whether the log has made what its line says.
    fn finish(self) -> Checked {
        let Conversation { id, kind, head, member_count, owners, .. } = &self.conversation;
        if self.head != *head {
            return Err(format!(
                "conversation {id} has {} entries, {} of them messages, and not {} and {}",
                self.head.seq, self.head.messages, head.seq, head.messages
            ));
        }
        let joined = self.members.values().filter(|member| member.is_joined());
        let mut owning: Vec<UserId> =
            joined.clone().filter(|member| member.role == Role::Owner).map(|member| member.user_id).collect();
        owning.sort_unstable();
        if joined.count() as u64 != u64::from(*member_count) || owning != *owners {
            return Err(format!("the members of conversation {id} are not those that its entries make"));
        }
        if let ConversationKind::Room { name, topic, .. } = kind
            && (self.name.is_some_and(|last| last != *name) || self.topic.is_some_and(|last| last != *topic))
        {
            return Err(format!("name or topic of conversation {id} are not those of its latest change"));
        }
        Ok(())
    }
}

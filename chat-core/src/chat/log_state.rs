//! What a node knows of a conversation at the head it has applied.
//!
//! Rows of members are known only for users that were asked about, never for a
//! whole room. The state changes by applying entries, in order, and in no other way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{Conversation, ConversationKind, Entry, EntryBody, Event, Head, Member, Role, Seq};
use crate::id::UserId;

/// Rows that are kept; when there are more, they are forgotten and asked for again.
const KNOWN_ROWS: usize = 4_096;

/// Between two changes of any row. Never used again, not even after a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RowsVersion(u64);

impl RowsVersion {
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a row that was read from the store tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Learned {
    /// Where its user stands, unless that changed meanwhile.
    Row,
    /// That the log has come further than is applied here, to this entry at least.
    Ahead(Seq),
}

#[derive(Debug)]
pub(crate) struct LogState {
    conversation: Arc<Conversation>,
    rows: HashMap<UserId, Option<Member>>,
    rows_version: RowsVersion,
    /// Whose rows the operation in progress depends on: they are not forgotten.
    pinned: [Option<UserId>; 2],
}

impl LogState {
    pub(crate) fn new(conversation: Conversation) -> Self {
        Self {
            conversation: Arc::new(conversation),
            rows: HashMap::new(),
            rows_version: RowsVersion::next(),
            pinned: [None; 2],
        }
    }

    pub(crate) fn conversation(&self) -> &Arc<Conversation> {
        &self.conversation
    }

    pub(crate) fn head(&self) -> Head {
        self.conversation.head
    }

    /// The row of a user; `None` also if it is not known. See [`knows`](Self::knows).
    pub(crate) fn member(&self, user: UserId) -> Option<&Member> {
        self.rows.get(&user).and_then(Option::as_ref)
    }

    /// Whether the row of a user (or that there is none) is known.
    pub(crate) fn knows(&self, user: UserId) -> bool {
        self.rows.contains_key(&user)
    }

    /// Keeps the rows of these users until the next call.
    pub(crate) fn pin(&mut self, users: [Option<UserId>; 2]) {
        self.pinned = users;
    }

    pub(crate) fn rows_version(&self) -> RowsVersion {
        self.rows_version
    }

    /// Remembers a row that was read from the store since `version`, unless it would be wrong here: an
    /// event was applied since, or the row shows an entry that is not applied yet.
    pub(crate) fn remember(&mut self, user: UserId, row: Option<Member>, version: RowsVersion) -> Learned {
        if let Some(member) = row.as_ref().filter(|member| member.since_seq > self.head().seq) {
            return Learned::Ahead(member.since_seq);
        }
        if self.rows_version == version {
            if self.rows.len() >= KNOWN_ROWS {
                self.rows.retain(|user, _| self.pinned.contains(&Some(*user)));
            }
            self.rows.insert(user, row);
        }
        Learned::Row
    }

    /// Makes `entry`, the next one, part of the state. The row of the user that an
    /// event is about must be known.
    pub(crate) fn apply(&mut self, entry: &Entry) {
        debug_assert_eq!(entry.seq, self.head().seq.next(), "entries are applied in order");
        let conversation = Arc::make_mut(&mut self.conversation);
        conversation.head = entry.head();
        let EntryBody::Event(event) = &entry.body else { return };
        if let (
            Event::Updated { name: new_name, topic: new_topic },
            ConversationKind::Room { name, topic, .. },
        ) = (event, &mut conversation.kind)
        {
            if let Some(new_name) = new_name {
                name.clone_from(new_name);
            }
            if let Some(new_topic) = new_topic {
                topic.clone_from(new_topic);
            }
        }
        let Some(user) = event.user() else { return };
        self.rows_version = RowsVersion::next();
        let before = self.rows.remove(&user).flatten();
        let was_joined = before.as_ref().is_some_and(Member::is_joined);
        let after = Member::after(before.clone(), user, entry.by, event, entry.seq).or(before);
        let is_joined = after.as_ref().is_some_and(Member::is_joined);
        match (was_joined, is_joined) {
            (false, true) => conversation.member_count += 1,
            (true, false) => conversation.member_count = conversation.member_count.saturating_sub(1),
            (true, true) | (false, false) => {}
        }
        conversation.owners.retain(|owner| *owner != user);
        if after.as_ref().is_some_and(|member| member.is_joined() && member.role == Role::Owner) {
            let place = conversation.owners.partition_point(|owner| *owner < user);
            conversation.owners.insert(place, user);
        }
        self.rows.insert(user, after);
    }
}

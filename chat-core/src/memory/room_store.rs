//! Conversations, logs and members in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;

use super::MemoryStore;
use crate::domain::{
    Conversation, ConversationKind, Draft, Entry, EntryBody, Event, Head, Member, MemberState, MessageAnchor,
    MessagePage, MyConversation, Pair, Role, Seq, Unread, Visibility, search_folded,
};
use crate::error::StoreError;
use crate::id::{ConversationId, EntryId, UserId};
use crate::limits::hard;
use crate::port::{
    Append, Appended, Creation, EntryPage, EntryRange, MembershipPage, MessageQuery, NewConversation,
    RoomQuery, RoomStore, Standing,
};

/// All conversations.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    logs: BTreeMap<ConversationId, Log>,
    pairs: HashMap<Pair, ConversationId>,
    /// The conversations in which a user has a row, whatever its state.
    of_user: HashMap<UserId, BTreeSet<ConversationId>>,
}

/// One conversation with its log. The entry numbered `n` is `entries[n - 1]`.
#[derive(Debug)]
struct Log {
    conversation: Conversation,
    entries: Vec<Entry>,
    by_id: HashMap<EntryId, usize>,
    members: BTreeMap<UserId, Member>,
}

impl Log {
    fn new(new: NewConversation) -> Self {
        let first_members = match &new.kind {
            ConversationKind::Room { .. } => vec![(new.created_by, Role::Owner)],
            ConversationKind::Private(pair) => pair.users().map(|user| (user, Role::Member)).to_vec(),
        };
        let mut log = Self {
            conversation: Conversation {
                id: new.id,
                kind: new.kind,
                created_by: new.created_by,
                created_at: new.created_at,
                head: Head::default(),
                member_count: 0,
                owners: Vec::new(),
            },
            entries: Vec::new(),
            by_id: HashMap::new(),
            members: BTreeMap::new(),
        };
        log.append(Draft {
            id: new.entry_id,
            by: new.created_by,
            timestamp: new.created_at,
            body: EntryBody::Event(Event::Created),
        });
        for (user, role) in first_members {
            log.set_member(Member::by_creation(user, role, log.conversation.head.seq));
        }
        log
    }

    fn append(&mut self, draft: Draft) -> Appended {
        if let Some(index) = self.by_id.get(&draft.id) {
            return Appended::Duplicate(self.entries[*index].clone());
        }
        let entry = draft.at(self.conversation.id, self.conversation.head);
        self.conversation.head = entry.head();
        self.by_id.insert(entry.id, self.entries.len());
        self.entries.push(entry.clone());
        if let EntryBody::Event(event) = &entry.body {
            self.project(&entry, event);
        }
        Appended::New(entry)
    }

    /// Applies an event to the members and to the conversation.
    fn project(&mut self, entry: &Entry, event: &Event) {
        if let (
            Event::Updated { name, topic },
            ConversationKind::Room { name: old_name, topic: old_topic, .. },
        ) = (event, &mut self.conversation.kind)
        {
            if let Some(name) = name {
                *old_name = name.clone();
            }
            if let Some(topic) = topic {
                *old_topic = topic.clone();
            }
        }
        let Some(user) = event.user() else { return };
        let before = self.members.get(&user).cloned();
        if let Some(member) = Member::after(before, user, entry.by, event, entry.seq) {
            self.set_member(member);
        }
    }

    fn set_member(&mut self, member: Member) {
        let user = member.user_id;
        let is_joined = member.is_joined();
        let is_owner = is_joined && member.role == Role::Owner;
        let before = self.members.insert(user, member);
        let was_joined = before.is_some_and(|before| before.is_joined());
        let count = &mut self.conversation.member_count;
        *count = *count + u32::from(is_joined) - u32::from(was_joined);

        let owners = &mut self.conversation.owners;
        owners.retain(|owner| *owner != user);
        if is_owner {
            owners.push(user);
            owners.sort_unstable();
        }
    }

    fn joined(&self, user: UserId) -> Option<&Member> {
        self.members.get(&user).filter(|member| member.is_joined())
    }

    /// The entries above `after` up to and including `upto`, as far as the log goes.
    fn stretch(&self, after: Seq, upto: Seq) -> &[Entry] {
        let index = |seq: Seq| usize::try_from(seq.get()).unwrap_or(usize::MAX).min(self.entries.len());
        self.entries.get(index(after)..index(upto)).unwrap_or_default()
    }

    fn messages(&self, query: &MessageQuery) -> MessagePage {
        let visible: Vec<&Entry> = self
            .stretch(query.from.previous(), query.upto)
            .iter()
            .filter(|entry| entry.body.is_message())
            .collect();
        let newest_first = |skip: usize, below: Seq| {
            let candidates = visible.iter().rev().filter(|entry| entry.seq < below).skip(skip);
            page(candidates.copied(), query.limit, query.max_bytes)
        };
        let (mut entries, has_more) = match query.anchor {
            MessageAnchor::Newest { offset } => newest_first(offset as usize, query.upto.next()),
            MessageAnchor::Before(seq) => newest_first(0, seq),
            MessageAnchor::After(seq) => {
                let candidates = visible.iter().filter(|entry| entry.seq > seq);
                page(candidates.copied(), query.limit, query.max_bytes)
            }
        };
        entries.sort_by_key(|entry| entry.seq);
        MessagePage { entries, has_more }
    }

    /// What the list of `member`'s conversations shows of this one.
    fn as_mine(&self, member: &Member) -> MyConversation {
        let (last_message, unread) = match member.state {
            MemberState::Joined => (self.last_message(member), self.unread(member)),
            MemberState::Invited | MemberState::Left | MemberState::Removed | MemberState::Banned => {
                (None, Unread::Exactly(0))
            }
        };
        MyConversation {
            conversation: self.conversation.clone(),
            member: member.clone(),
            last_message,
            unread,
        }
    }

    fn last_message(&self, member: &Member) -> Option<Entry> {
        let after = match self.conversation.visibility() {
            Visibility::Public => Seq::ZERO,
            Visibility::Private => member.since_seq,
        };
        let visible = self.stretch(after, Seq::MAX);
        visible.iter().rev().find(|entry| entry.body.is_message()).cloned()
    }

    fn unread(&self, member: &Member) -> Unread {
        let above = self.stretch(member.read_seq.max(member.since_seq), Seq::MAX);
        let by_others = above.iter().filter(|entry| entry.body.is_message() && entry.by != member.user_id);
        match by_others.count() as u64 {
            count if count <= hard::UNREAD_EXACT => Unread::Exactly(count),
            _ => Unread::AtLeast(hard::UNREAD_EXACT),
        }
    }
}

/// The first of `candidates` that fit into a page, and whether one was left over.
fn page<'a>(candidates: impl Iterator<Item = &'a Entry>, limit: u32, max_bytes: usize) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let mut bytes = 0;
    for entry in candidates {
        bytes += entry.body.content_bytes();
        let is_full = entries.len() >= limit as usize || (bytes > max_bytes && !entries.is_empty());
        if is_full {
            return (entries, true);
        }
        entries.push(entry.clone());
    }
    (entries, false)
}

impl Rooms {
    fn create(&mut self, new: NewConversation) -> Creation {
        let pair_id = match &new.kind {
            ConversationKind::Room { .. } => None,
            ConversationKind::Private(pair) => self.pairs.get(pair),
        };
        if let Some(log) = self.logs.get(pair_id.unwrap_or(&new.id)) {
            return Creation::Existing(log.conversation.clone());
        }
        if let ConversationKind::Private(pair) = &new.kind {
            self.pairs.insert(*pair, new.id);
        }
        let log = Log::new(new);
        for user in log.members.keys() {
            self.of_user.entry(*user).or_default().insert(log.conversation.id);
        }
        let conversation = log.conversation.clone();
        self.logs.insert(conversation.id, log);
        Creation::New(conversation)
    }

    fn append(
        &mut self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        let Some(log) = self.logs.get_mut(&conversation) else {
            return Err(StoreError::corrupt("append to an unknown conversation"));
        };
        if log.conversation.head != expected {
            return Ok(Append::Conflict(log.conversation.head));
        }
        for draft in &drafts {
            if let EntryBody::Event(event) = &draft.body
                && let Some(user) = event.user()
            {
                self.of_user.entry(user).or_default().insert(conversation);
            }
        }
        Ok(Append::Done(drafts.into_iter().map(|draft| log.append(draft)).collect()))
    }

    /// The user's rows in the order of conversation ids, those above `after`.
    fn rows_of(&self, user: UserId, after: Option<ConversationId>) -> impl Iterator<Item = (&Log, &Member)> {
        let ids = self.of_user.get(&user).into_iter().flatten();
        ids.filter(move |id| after.is_none_or(|after| **id > after))
            .filter_map(|id| self.logs.get(id))
            .filter_map(move |log| log.members.get(&user).map(|member| (log, member)))
    }
}

#[async_trait]
impl RoomStore for MemoryStore {
    async fn epoch(&self) -> Result<String, StoreError> {
        Ok(self.epoch.clone())
    }

    async fn create(&self, new: NewConversation) -> Result<Creation, StoreError> {
        Ok(self.lock().rooms.create(new))
    }

    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError> {
        Ok(self.lock().rooms.logs.get(&conversation).map(|log| log.conversation.clone()))
    }

    async fn heads(
        &self,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Head)>, StoreError> {
        let state = self.lock();
        let logs = conversations.into_iter().filter_map(|id| state.rooms.logs.get(&id));
        Ok(logs.map(|log| (log.conversation.id, log.conversation.head)).collect())
    }

    async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        debug_assert!(drafts.len() <= hard::BATCH_ENTRIES, "the caller splits batches");
        debug_assert!(
            drafts.iter().rev().skip(1).all(|draft| draft.body.is_message()),
            "an event ends its batch"
        );
        self.lock().rooms.append(conversation, expected, drafts)
    }

    async fn entry(&self, conversation: ConversationId, id: EntryId) -> Result<Option<Entry>, StoreError> {
        let state = self.lock();
        let log = state.rooms.logs.get(&conversation);
        Ok(log.and_then(|log| log.by_id.get(&id).map(|index| log.entries[*index].clone())))
    }

    async fn entries(
        &self,
        conversation: ConversationId,
        range: EntryRange,
    ) -> Result<EntryPage, StoreError> {
        let state = self.lock();
        let Some(log) = state.rooms.logs.get(&conversation) else { return Ok(EntryPage::default()) };
        let stretch = log.stretch(range.after, range.upto);
        let (entries, more) = page(stretch.iter(), range.limit, range.max_bytes);
        Ok(EntryPage { entries, more })
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        let state = self.lock();
        let log = state.rooms.logs.get(&conversation);
        Ok(log.map(|log| log.messages(&query)).unwrap_or_default())
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        let state = self.lock();
        Ok(state.rooms.logs.get(&conversation).and_then(|log| log.members.get(&user).cloned()))
    }

    async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        let state = self.lock();
        let rows = state.rooms.logs.get(&conversation).into_iter().flat_map(|log| log.members.values());
        let joined = rows.filter(|member| member.is_joined());
        let above = joined.filter(|member| after.is_none_or(|after| member.user_id > after));
        Ok(above.take(limit as usize).cloned().collect())
    }

    async fn my_conversations(
        &self,
        user: UserId,
        page: MembershipPage,
    ) -> Result<Vec<MyConversation>, StoreError> {
        let state = self.lock();
        let listed = state.rooms.rows_of(user, page.after).filter(|(log, member)| {
            log.conversation.pair().is_none() == page.rooms
                && matches!(member.state, MemberState::Joined | MemberState::Invited)
                && !log.conversation.is_closed()
        });
        Ok(listed.take(page.limit as usize).map(|(log, member)| log.as_mine(member)).collect())
    }

    async fn standings(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError> {
        let state = self.lock();
        let joined = state.rooms.rows_of(user, after).filter(|(_, member)| member.is_joined());
        let standing = |(log, member): (&Log, &Member)| Standing {
            conversation: log.conversation.clone(),
            member: member.clone(),
        };
        Ok(joined.take(limit as usize).map(standing).collect())
    }

    async fn room_count(&self, user: UserId) -> Result<u32, StoreError> {
        let state = self.lock();
        let rooms = state
            .rooms
            .rows_of(user, None)
            .filter(|(log, member)| member.is_joined() && log.conversation.pair().is_none());
        Ok(u32::try_from(rooms.count()).unwrap_or(u32::MAX))
    }

    async fn discover(&self, query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
        let state = self.lock();
        let text = search_folded(&query.text);
        let found = state.rooms.logs.values().map(|log| &log.conversation).filter(|conversation| {
            let ConversationKind::Room { name, visibility, .. } = &conversation.kind else { return false };
            *visibility == Visibility::Public
                && !conversation.is_closed()
                && query.after.is_none_or(|after| conversation.id > after)
                && name.folded().contains(&text)
        });
        Ok(found.take(query.limit as usize).cloned().collect())
    }

    async fn all_conversations(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let state = self.lock();
        let all = state.rooms.logs.values().map(|log| &log.conversation);
        let above = all.filter(|conversation| after < Some(conversation.id));
        Ok(above.take(limit as usize).cloned().collect())
    }

    async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        let mut state = self.lock();
        let Some(log) = state.rooms.logs.get_mut(&conversation) else { return Ok(None) };
        let head = log.conversation.head.seq;
        let Some(member) = log.members.get_mut(&user).filter(|member| member.is_joined()) else {
            return Ok(None);
        };
        member.read_seq = member.read_seq.max(seq.min(head));
        Ok(Some(member.read_seq))
    }

    async fn sharing(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        let state = self.lock();
        let shares = |other: &UserId| {
            let mine = state.rooms.rows_of(user, None).filter(|(_, member)| member.is_joined());
            mine.into_iter().any(|(log, _)| log.joined(*other).is_some())
        };
        Ok(others.into_iter().filter(|other| shares(other)).collect())
    }
}

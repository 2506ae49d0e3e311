//! The suite for room stores is itself tested: each store here tells one lie, and at
//! least the case named beside it must find out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chat_core::domain::{
    Content, Conversation, ConversationKind, Draft, Entry, EntryBody, Head, Member, MemberState, RoomName,
    Seq,
};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, EntryId, UserId};
use chat_core::memory::MemoryStore;
use chat_core::port::{
    Append, Appended, Creation, EntryPage, EntryRange, MembershipPage, MessageAnchor, MessagePage,
    MessageQuery, MyConversation, NewConversation, RoomQuery, RoomStore, Standing, Unread,
};
use chat_testkit::model::{self, Effort};
use chat_testkit::{Harness, room_store, suite};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    AHole,
    HeadsLagBehind,
    DuplicateAccepted,
    DuplicateForgottenFarBack,
    DuplicateAnswersTheDraft,
    ConflictIgnored,
    ConflictWritesAPart,
    LostWrite,
    AcknowledgedBeforeStored,
    ContentTrimmed,
    TwoChatsOfAPair,
    EpochOfTheDay,
    AbsenceIsAnError,
    MoreWhenThePageIsFull,
    EntriesIgnoreBytes,
    HasMoreWhenThePageIsFull,
    OffsetIgnored,
    FromIgnored,
    UptoIgnored,
    MembersIgnoreAfter,
    BanNotProjected,
    OwnerForEver,
    CountsInvitees,
    ReadGoesBack,
    ReadAboveTheHead,
    UnreadCountsOwnMessages,
    InviteesSeeMessages,
    StandingsIgnoreAfter,
    EverythingIsDiscovered,
    SearchIsAPattern,
    SearchFoldsAsciiOnly,
    AllConversationsIgnoreAfter,
    ClosedRoomsAreForgotten,
    SharingByInvitation,
    PrivateChatsAreRooms,
    ForgetsOnRestart,
}

/// Each lie with a case that must find it out.
const LIES: &[(Lie, &str)] = &[
    (Lie::AHole, "entries_are_numbered_from_one_without_holes"),
    (Lie::HeadsLagBehind, "heads_are_those_of_the_logs"),
    (Lie::DuplicateAccepted, "a_repeated_draft_is_a_duplicate"),
    (Lie::DuplicateForgottenFarBack, "a_duplicate_is_recognised_far_back"),
    (Lie::DuplicateAnswersTheDraft, "a_duplicate_answers_what_is_stored"),
    (Lie::ConflictIgnored, "a_stale_head_conflicts_and_writes_nothing"),
    (Lie::ConflictWritesAPart, "a_stale_head_conflicts_and_writes_nothing"),
    (Lie::LostWrite, "entries_are_numbered_from_one_without_holes"),
    (Lie::AcknowledgedBeforeStored, "what_was_acknowledged_is_read_at_once"),
    (Lie::ContentTrimmed, "contents_are_kept_byte_for_byte"),
    (Lie::TwoChatsOfAPair, "a_race_for_one_chat_has_one_winner"),
    (Lie::EpochOfTheDay, "the_epoch_stays"),
    (Lie::AbsenceIsAnError, "nothing_is_known_of_an_unknown_conversation"),
    (Lie::MoreWhenThePageIsFull, "a_range_holds_what_it_says"),
    (Lie::EntriesIgnoreBytes, "a_page_ends_before_too_many_bytes"),
    (Lie::HasMoreWhenThePageIsFull, "every_query_answers_as_the_contract_says"),
    (Lie::OffsetIgnored, "every_query_answers_as_the_contract_says"),
    (Lie::FromIgnored, "every_query_answers_as_the_contract_says"),
    (Lie::UptoIgnored, "every_query_answers_as_the_contract_says"),
    (Lie::MembersIgnoreAfter, "members_are_paged_in_order"),
    (Lie::BanNotProjected, "every_event_is_projected"),
    (Lie::OwnerForEver, "owners_are_kept_in_order"),
    (Lie::CountsInvitees, "every_event_is_projected"),
    (Lie::ReadGoesBack, "the_read_position_never_goes_back"),
    (Lie::ReadAboveTheHead, "the_read_position_stays_at_or_below_the_head"),
    (Lie::UnreadCountsOwnMessages, "unread_counts_messages_by_others"),
    (Lie::InviteesSeeMessages, "an_invitee_sees_no_message"),
    (Lie::StandingsIgnoreAfter, "standings_are_paged_in_order"),
    (Lie::EverythingIsDiscovered, "closed_rooms_are_hidden"),
    (Lie::SearchIsAPattern, "a_search_takes_its_text_literally"),
    (Lie::SearchFoldsAsciiOnly, "public_rooms_are_found_by_part_of_their_name"),
    (Lie::AllConversationsIgnoreAfter, "all_conversations_are_paged_in_order"),
    (Lie::ClosedRoomsAreForgotten, "all_conversations_are_whole"),
    (Lie::SharingByInvitation, "sharing_needs_both_joined_in_one_conversation"),
    (Lie::PrivateChatsAreRooms, "rooms_are_counted_while_joined"),
    (Lie::ForgetsOnRestart, "a_restart_keeps_everything"),
];

#[test]
fn every_lie_is_found_out() {
    for (lie, case) in LIES {
        let failing = suite::failing(room_store::CASES, || room_store::start(LyingHarness(*lie)));
        assert!(failing.contains(case), "{lie:?} is not found out by {case}, only by {failing:?}");
    }
}

#[test]
fn the_model_test_finds_lies_out_as_well() {
    let lies =
        [Lie::DuplicateAccepted, Lie::HasMoreWhenThePageIsFull, Lie::ReadGoesBack, Lie::ForgetsOnRestart];
    // Some lies need a page that is exactly full: more sequences, so that it does not hang on one lucky seed.
    let effort = Effort { sequences: 300, ..Effort::default() };
    for lie in lies {
        let run = || model::run_rooms(|| LyingHarness(lie), effort);
        assert!(std::panic::catch_unwind(run).is_err(), "{lie:?} is not found out");
    }
}

struct LyingHarness(Lie);

#[async_trait]
impl Harness<dyn RoomStore> for LyingHarness {
    async fn start(&mut self) -> Arc<dyn RoomStore> {
        Arc::new(Lying {
            lie: self.0,
            honest: MemoryStore::new(),
            rooms: Mutex::default(),
            pending: Mutex::default(),
            reads: Mutex::default(),
        })
    }

    async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
        if self.0 == Lie::ForgetsOnRestart { Some(self.start().await) } else { None }
    }
}

/// An honest store that lies in one point.
#[derive(Debug)]
struct Lying {
    lie: Lie,
    honest: MemoryStore,
    /// The rooms created.
    rooms: Mutex<Vec<ConversationId>>,
    /// What was acknowledged and not stored.
    pending: Mutex<Vec<(ConversationId, Head, Vec<Draft>)>>,
    /// Read positions that went back.
    reads: Mutex<HashMap<UserId, Seq>>,
}

impl Lying {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }

    fn distort(&self, mut conversation: Conversation) -> Conversation {
        if self.tells(Lie::OwnerForEver) && conversation.pair().is_none() {
            conversation.owners = vec![conversation.created_by];
        }
        conversation
    }

    /// Gives drafts that are in the log another id.
    async fn rename_duplicates(
        &self,
        conversation: ConversationId,
        drafts: &mut [Draft],
        is_forgotten: impl Fn(&Entry) -> bool,
    ) -> Result<(), StoreError> {
        for draft in drafts {
            if self.honest.entry(conversation, draft.id).await?.is_some_and(|entry| is_forgotten(&entry)) {
                draft.id = EntryId::generate();
            }
        }
        Ok(())
    }

    /// Acknowledges without writing.
    fn pretend(conversation: ConversationId, mut head: Head, drafts: Vec<Draft>) -> Append {
        let appended = drafts.into_iter().map(|draft| {
            let entry = draft.at(conversation, head);
            head = entry.head();
            Appended::New(entry)
        });
        Append::Done(appended.collect())
    }

    async fn all(&self, conversation: ConversationId) -> Result<Vec<Entry>, StoreError> {
        let range = EntryRange { after: Seq::ZERO, upto: Seq::MAX, limit: u32::MAX, max_bytes: usize::MAX };
        Ok(self.honest.entries(conversation, range).await?.entries)
    }
}

#[async_trait]
impl RoomStore for Lying {
    async fn epoch(&self) -> Result<String, StoreError> {
        if self.tells(Lie::EpochOfTheDay) {
            return Ok(EntryId::generate().to_string());
        }
        self.honest.epoch().await
    }

    async fn create(&self, new: NewConversation) -> Result<Creation, StoreError> {
        if matches!(new.kind, ConversationKind::Room { .. }) {
            self.rooms.lock().expect("not poisoned").push(new.id);
        }
        Ok(match self.honest.create(new).await? {
            Creation::Existing(conversation) if self.tells(Lie::TwoChatsOfAPair) => {
                Creation::New(conversation)
            }
            creation => creation,
        })
    }

    async fn conversation(&self, conversation: ConversationId) -> Result<Option<Conversation>, StoreError> {
        let mut found = self.honest.conversation(conversation).await?;
        if found.is_none() && self.tells(Lie::AbsenceIsAnError) {
            return Err(StoreError::corrupt("no such conversation"));
        }
        if let Some(found) = found.as_mut().filter(|_| self.tells(Lie::CountsInvitees)) {
            for entry in self.all(conversation).await? {
                if let EntryBody::Event(event) = entry.body
                    && let Some(user) = event.user()
                    && let Some(member) = self.honest.member(conversation, user).await?
                {
                    found.member_count += u32::from(member.state == MemberState::Invited);
                }
            }
        }
        Ok(found.map(|found| self.distort(found)))
    }

    async fn heads(
        &self,
        conversations: Vec<ConversationId>,
    ) -> Result<Vec<(ConversationId, Head)>, StoreError> {
        let mut heads = self.honest.heads(conversations).await?;
        if self.tells(Lie::HeadsLagBehind) {
            heads.iter_mut().for_each(|(_, head)| *head = Head { seq: head.seq.previous(), ..*head });
        }
        Ok(heads)
    }

    async fn append(
        &self,
        conversation: ConversationId,
        expected: Head,
        mut drafts: Vec<Draft>,
    ) -> Result<Append, StoreError> {
        let late: Vec<_> = self.pending.lock().expect("not poisoned").drain(..).collect();
        for (conversation, head, drafts) in late {
            self.honest.append(conversation, head, drafts).await?;
        }
        match self.lie {
            Lie::DuplicateAccepted => self.rename_duplicates(conversation, &mut drafts, |_| true).await?,
            Lie::DuplicateForgottenFarBack => {
                let is_old = |entry: &Entry| expected.seq.since(entry.seq) > 1_000;
                self.rename_duplicates(conversation, &mut drafts, is_old).await?;
            }
            Lie::ContentTrimmed => {
                for draft in &mut drafts {
                    if let EntryBody::Message(message) = &mut draft.body {
                        let trimmed = message.content.as_str().trim();
                        message.content = Content::new(trimmed).unwrap_or(message.content.clone());
                    }
                }
            }
            Lie::ConflictIgnored | Lie::ConflictWritesAPart => {
                let head = self.honest.conversation(conversation).await?.map_or(expected, |found| found.head);
                if self.lie == Lie::ConflictIgnored {
                    return self.honest.append(conversation, head, drafts).await;
                }
                if head != expected {
                    drafts.truncate(1);
                    self.honest.append(conversation, head, drafts).await?;
                    return Ok(Append::Conflict(head));
                }
            }
            Lie::LostWrite if expected.seq.get().is_multiple_of(7) => {
                return Ok(Self::pretend(conversation, expected, drafts));
            }
            Lie::AcknowledgedBeforeStored => {
                let found = self.honest.conversation(conversation).await?;
                if found.is_some_and(|found| found.head == expected) {
                    self.pending.lock().expect("not poisoned").push((conversation, expected, drafts.clone()));
                    return Ok(Self::pretend(conversation, expected, drafts));
                }
            }
            _ => {}
        }
        let mut append = self.honest.append(conversation, expected, drafts.clone()).await?;
        if let Append::Done(outcomes) = &mut append
            && self.tells(Lie::DuplicateAnswersTheDraft)
        {
            for (outcome, draft) in outcomes.iter_mut().zip(drafts) {
                if let Appended::Duplicate(entry) = outcome {
                    (entry.by, entry.body) = (draft.by, draft.body);
                }
            }
        }
        Ok(append)
    }

    async fn entry(&self, conversation: ConversationId, id: EntryId) -> Result<Option<Entry>, StoreError> {
        self.honest.entry(conversation, id).await
    }

    async fn entries(
        &self,
        conversation: ConversationId,
        mut range: EntryRange,
    ) -> Result<EntryPage, StoreError> {
        if self.tells(Lie::EntriesIgnoreBytes) {
            range.max_bytes = usize::MAX;
        }
        let mut page = self.honest.entries(conversation, range).await?;
        if self.tells(Lie::MoreWhenThePageIsFull) {
            page.more = page.entries.len() == range.limit as usize;
        }
        if self.tells(Lie::AHole) {
            page.entries.retain(|entry| entry.seq.get() != 3);
        }
        Ok(page)
    }

    async fn messages(
        &self,
        conversation: ConversationId,
        mut query: MessageQuery,
    ) -> Result<MessagePage, StoreError> {
        match self.lie {
            Lie::FromIgnored => query.from = Seq::ZERO,
            Lie::UptoIgnored => query.upto = Seq::MAX,
            Lie::OffsetIgnored => {
                if let MessageAnchor::Newest { offset } = &mut query.anchor {
                    *offset = 0;
                }
            }
            _ => {}
        }
        let mut page = self.honest.messages(conversation, query).await?;
        if self.tells(Lie::HasMoreWhenThePageIsFull) {
            page.has_more = page.entries.len() == query.limit as usize;
        }
        Ok(page)
    }

    async fn member(&self, conversation: ConversationId, user: UserId) -> Result<Option<Member>, StoreError> {
        let mut member = self.honest.member(conversation, user).await?;
        if let Some(member) = &mut member {
            if member.state == MemberState::Banned && self.tells(Lie::BanNotProjected) {
                member.state = MemberState::Left;
            }
            if let Some(seq) = self.reads.lock().expect("not poisoned").get(&user) {
                member.read_seq = *seq;
            }
        }
        Ok(member)
    }

    async fn members(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: u32,
    ) -> Result<Vec<Member>, StoreError> {
        let after = after.filter(|_| !self.tells(Lie::MembersIgnoreAfter));
        self.honest.members(conversation, after, limit).await
    }

    async fn my_conversations(
        &self,
        user: UserId,
        page: MembershipPage,
    ) -> Result<Vec<MyConversation>, StoreError> {
        let mut mine = self.honest.my_conversations(user, page).await?;
        for one in &mut mine {
            let log = self.all(one.conversation.id).await?;
            let mut messages = log.into_iter().filter(|entry| entry.body.is_message());
            if self.tells(Lie::UnreadCountsOwnMessages) && one.member.is_joined() {
                let read_seq = one.member.read_seq;
                one.unread = Unread::Exactly(messages.filter(|entry| entry.seq > read_seq).count() as u64);
            } else if self.tells(Lie::InviteesSeeMessages) && !one.member.is_joined() {
                one.last_message = messages.next_back();
            }
        }
        Ok(mine)
    }

    async fn standings(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Standing>, StoreError> {
        let after = after.filter(|_| !self.tells(Lie::StandingsIgnoreAfter));
        self.honest.standings(user, after, limit).await
    }

    async fn room_count(&self, user: UserId) -> Result<u32, StoreError> {
        if self.tells(Lie::PrivateChatsAreRooms) {
            return Ok(self.honest.standings(user, None, u32::MAX).await?.len() as u32);
        }
        self.honest.room_count(user).await
    }

    async fn discover(&self, mut query: RoomQuery) -> Result<Vec<Conversation>, StoreError> {
        if self.tells(Lie::EverythingIsDiscovered) && query.text.is_empty() {
            let rooms = self.rooms.lock().expect("not poisoned").clone();
            let mut found = Vec::new();
            for room in rooms {
                found.extend(self.honest.conversation(room).await?);
            }
            return Ok(found);
        }
        let text = query.text.clone();
        if self.tells(Lie::SearchIsAPattern) && text.contains('%') {
            query.text.clear();
        }
        let mut found = self.honest.discover(query).await?;
        if self.tells(Lie::SearchFoldsAsciiOnly) {
            let folded = |name: &RoomName| name.as_str().to_ascii_lowercase();
            let matches = |name: &RoomName| folded(name).contains(&text.to_ascii_lowercase());
            found.retain(|one| matches!(&one.kind, ConversationKind::Room { name, .. } if matches(name)));
        }
        Ok(found)
    }

    async fn all_conversations(
        &self,
        after: Option<ConversationId>,
        limit: u32,
    ) -> Result<Vec<Conversation>, StoreError> {
        let after = after.filter(|_| !self.tells(Lie::AllConversationsIgnoreAfter));
        let mut all = self.honest.all_conversations(after, limit).await?;
        if self.tells(Lie::ClosedRoomsAreForgotten) {
            all.retain(|one| !one.is_closed());
        }
        Ok(all)
    }

    async fn mark_read(
        &self,
        conversation: ConversationId,
        user: UserId,
        seq: Seq,
    ) -> Result<Option<Seq>, StoreError> {
        let holds = self.honest.mark_read(conversation, user, seq).await?;
        match self.lie {
            Lie::ReadGoesBack => {
                let seq = holds.map(|holds| holds.min(seq));
                self.reads.lock().expect("not poisoned").extend(seq.map(|seq| (user, seq)));
                Ok(seq)
            }
            Lie::ReadAboveTheHead => Ok(holds.map(|holds| holds.max(seq))),
            _ => Ok(holds),
        }
    }

    async fn sharing(&self, user: UserId, others: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
        if !self.tells(Lie::SharingByInvitation) {
            return self.honest.sharing(user, others).await;
        }
        let mut sharing = Vec::new();
        let rooms = self.rooms.lock().expect("not poisoned").clone();
        for other in others {
            for room in &rooms {
                let both = (self.honest.member(*room, user).await?, self.honest.member(*room, other).await?);
                if matches!(both, (Some(_), Some(_))) {
                    sharing.push(other);
                    break;
                }
            }
        }
        Ok(sharing)
    }
}

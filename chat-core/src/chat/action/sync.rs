//! Coming back: what a client missed, for many conversations at once.

use std::collections::BTreeMap;

use super::fit::{LARGEST_ENTRY_BYTES, keep_first};
use crate::chat::operation::ConversationRef;
use crate::chat::permission::ConversationAction;
use crate::chat::user::User;
use crate::domain::{Entry, Seq};
use crate::error::{ActionError, Code};
use crate::id::ConversationId;
use crate::limits::hard;
use crate::port::{EntryRange, Standing};
use crate::protocol::EntryContext;
use crate::protocol::reply::SyncState;

/// What was missed of one conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// How it stands.
    pub state: SyncState,
    /// The last entry of the log; `None` when gone.
    pub head: Option<Seq>,
    /// The first entry that the user may read, if there are some above the cursor that are not for them.
    pub since: Option<Seq>,
    /// Names room or private chat, for encoding; `None` when gone.
    pub context: Option<EntryContext>,
    /// What follows the cursor, in order.
    pub entries: Vec<Entry>,
    /// Whether more follows: ask again from the last of them.
    pub more: bool,
}

/// The answer to a `sync`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPage {
    /// The epoch of the store.
    pub epoch: String,
    /// One answer for each cursor.
    pub conversations: BTreeMap<ConversationId, Synced>,
    /// The user's conversations that no cursor named, up to 1,000.
    pub others: Vec<OtherConversation>,
    /// Whether `others` is cut short: the lists have the rest.
    pub more_others: bool,
}

/// A conversation that no cursor named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherConversation {
    /// The conversation.
    pub id: ConversationId,
    /// Room or private chat.
    pub context: EntryContext,
    /// The last entry of its log.
    pub head: Seq,
}

/// How many conversations that no cursor named an answer lists.
const OTHERS: usize = 1_000;

/// At most so many bytes an answer takes beside its conversations.
const FRAME_BYTES: usize = 512 + 6 * hard::EPOCH_BYTES;
/// At most so many bytes the answer to a cursor takes beside its entries.
pub(in crate::chat) const CONVERSATION_BYTES: usize = 160;
/// At most so many bytes one of the others takes.
const OTHER_BYTES: usize = 80;

// A key that is no id has at most as many bytes as in the request.
const _: () = assert!(
    FRAME_BYTES + hard::FRAME_BYTES + hard::SYNC_CURSORS * CONVERSATION_BYTES + LARGEST_ENTRY_BYTES
        <= hard::REPLY_BYTES,
    "an entry fits beside the answers to all cursors"
);

impl User {
    /// What follows each cursor, up to 500 of them and 128 KiB of entries together.
    ///
    /// # Errors
    /// `unavailable` from the store.
    pub async fn sync(
        &self,
        cursors: &BTreeMap<ConversationId, Seq>,
        epoch: Option<&str>,
    ) -> Result<SyncPage, ActionError> {
        self.sync_within(cursors, epoch, hard::REPLY_BYTES).await
    }

    /// The same where the answer may take `reply_bytes`. Entries get what everything else leaves, at least
    /// one; others are cut short for that.
    pub(crate) async fn sync_within(
        &self,
        cursors: &BTreeMap<ConversationId, Seq>,
        epoch: Option<&str>,
        reply_bytes: usize,
    ) -> Result<SyncPage, ActionError> {
        let engine = self.engine();
        let current = engine.epoch.clone();
        let is_other_epoch = epoch.is_some_and(|epoch| epoch != current);
        let standings = engine.standings(self.id()).await?;
        let mut others: Vec<_> = standings.iter().filter_map(|standing| other(standing, cursors)).collect();
        let unsaid = reply_bytes.saturating_sub(FRAME_BYTES + cursors.len() * CONVERSATION_BYTES);
        let max_others = OTHERS.min(unsaid.saturating_sub(LARGEST_ENTRY_BYTES) / OTHER_BYTES);
        let more_others = others.len() > max_others;
        others.truncate(max_others);
        let unsaid = unsaid.saturating_sub(others.len() * OTHER_BYTES);
        let mut bytes_left = unsaid.clamp(LARGEST_ENTRY_BYTES, hard::PAGE_BYTES);
        let mut conversations = BTreeMap::new();
        for (id, cursor) in cursors {
            let standing = standings.binary_search_by_key(id, |standing| standing.conversation.id);
            let synced = match standing.ok().map(|index| &standings[index]) {
                None => gone(),
                Some(standing) if is_other_epoch => at_head(standing, SyncState::Reset),
                Some(standing) => self.sync_one(standing, *cursor, &mut bytes_left).await?,
            };
            conversations.insert(*id, synced);
        }
        Ok(SyncPage { epoch: current, conversations, others, more_others })
    }

    async fn sync_one(
        &self,
        standing: &Standing,
        cursor: Seq,
        bytes_left: &mut usize,
    ) -> Result<Synced, ActionError> {
        if cursor == standing.conversation.head.seq {
            return Ok(at_head(standing, SyncState::Ok));
        }
        let engine = self.engine();
        engine.reach([(standing.conversation.id, standing.conversation.head.seq)]).await?;
        let named = ConversationRef::Any(standing.conversation.id);
        let scope = match engine.authorise(ConversationAction::Read, self.id(), named).await {
            Ok(scope) => scope,
            Err(error) if matches!(error.code, Code::NotFound | Code::Forbidden) => return Ok(gone()),
            Err(error) => return Err(error),
        };
        let head = scope.readable_upto();
        let context = Some(EntryContext::of(scope.conversation()));
        let from = scope.readable_from();
        let since = (cursor < from.previous()).then_some(from);
        let synced = |state, entries, more| Synced { state, head: Some(head), since, context, entries, more };
        if cursor > head {
            // What the store has above the applied head comes as a push.
            let is_ahead = cursor > standing.conversation.head.seq;
            let state = if is_ahead { SyncState::Reset } else { SyncState::Ok };
            return Ok(synced(state, Vec::new(), false));
        }
        let after = cursor.max(from.previous());
        if head.since(after) > hard::SYNC_ENTRIES {
            return Ok(synced(SyncState::Page, Vec::new(), false));
        }
        if *bytes_left == 0 {
            return Ok(synced(SyncState::Ok, Vec::new(), after < head));
        }
        let range =
            EntryRange { after, upto: head, limit: hard::SYNC_ENTRIES as u32, max_bytes: *bytes_left };
        let mut page = engine.read(engine.rooms.entries(scope.id(), range)).await?;
        let cut = keep_first(&mut page.entries, bytes_left);
        Ok(synced(SyncState::Ok, page.entries, page.more || cut))
    }
}

fn other(standing: &Standing, cursors: &BTreeMap<ConversationId, Seq>) -> Option<OtherConversation> {
    let conversation = &standing.conversation;
    (!cursors.contains_key(&conversation.id)).then(|| OtherConversation {
        id: conversation.id,
        context: EntryContext::of(conversation),
        head: conversation.head.seq,
    })
}

fn gone() -> Synced {
    Synced {
        state: SyncState::Gone,
        head: None,
        since: None,
        context: None,
        entries: Vec::new(),
        more: false,
    }
}

fn at_head(standing: &Standing, state: SyncState) -> Synced {
    Synced {
        state,
        head: Some(standing.conversation.head.seq),
        since: None,
        context: Some(EntryContext::of(&standing.conversation)),
        entries: Vec::new(),
        more: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::ConversationKey;
    use crate::protocol::reply::{OtherConversation, SyncConversation, SyncReply};

    #[test]
    fn parts_take_no_more_bytes_than_is_counted() {
        let id = ConversationId::generate();
        let mut reply = SyncReply {
            epoch: "\u{1}".repeat(hard::EPOCH_BYTES),
            conversations: Vec::new(),
            others: Vec::new(),
            more_others: true,
        };
        let bytes = |reply: &SyncReply| serde_json::to_vec(reply).unwrap().len();
        let frame = bytes(&reply);
        assert!(frame < FRAME_BYTES);
        let seq = Some(Seq::MAX);
        let (state, entries) = (SyncState::Reset, Vec::new());
        let largest = SyncConversation { state, head_seq: seq, since_seq: seq, entries, more: false };
        reply.conversations = vec![(id.to_string(), largest)];
        let with_conversation = bytes(&reply);
        // With a comma.
        assert!(with_conversation - frame < CONVERSATION_BYTES);
        reply.others =
            vec![OtherConversation { conversation: ConversationKey::Room(id), head_seq: Seq::MAX }];
        assert!(bytes(&reply) - with_conversation < OTHER_BYTES);
    }
}

//! What clients missed that come back.

use std::collections::BTreeMap;

use super::Requester;
use crate::chat::action::CONVERSATION_BYTES;
use crate::error::ActionError;
use crate::limits::hard;
use crate::protocol::entry_push;
use crate::protocol::reply::{OtherConversation, SyncConversation, SyncReply, escaped_bytes};
use crate::protocol::request::Sync;
use crate::protocol::table::AnswersSync;

impl AnswersSync for Requester<'_> {
    async fn sync(&self, request: Sync) -> Result<SyncReply, ActionError> {
        let cursors: BTreeMap<_, _> = request.cursors.known.into_iter().collect();
        let malformed_bytes = |id: &String| escaped_bytes(id) + CONVERSATION_BYTES;
        let malformed_bytes: usize = request.cursors.malformed.iter().map(malformed_bytes).sum();
        let reply_bytes = hard::REPLY_BYTES.saturating_sub(malformed_bytes);
        let page = self.user.sync_within(&cursors, request.epoch.as_deref(), reply_bytes).await?;
        let malformed = request.cursors.malformed.into_iter().map(|id| (id, SyncConversation::gone()));
        let known = page.conversations.into_iter().map(|(id, synced)| {
            let frames = synced
                .context
                .into_iter()
                .flat_map(|context| synced.entries.iter().map(move |entry| entry_push(entry, context)));
            let conversation = SyncConversation {
                state: synced.state,
                head_seq: synced.head,
                since_seq: synced.since,
                entries: frames.collect(),
                more: synced.more,
            };
            (id.to_string(), conversation)
        });
        let others = page.others.iter().map(|other| OtherConversation {
            conversation: other.context.key(other.id),
            head_seq: other.head,
        });
        Ok(SyncReply {
            epoch: page.epoch,
            others: others.collect(),
            more_others: page.more_others,
            conversations: known.chain(malformed).collect(),
        })
    }
}

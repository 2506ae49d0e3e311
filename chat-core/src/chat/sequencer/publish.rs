//! From durable entries to live delivery: each encoded once, in order.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::chat::engine::Engine;
use crate::domain::{Conversation, Entry, EntryBody, Event};
use crate::port::{LiveEntry, Membership, Publication};
use crate::protocol::{EntryContext, entry_push};

/// Hands durable entries to the hub.
pub(super) fn publish(engine: &Engine, conversation: &Conversation, entries: &[Arc<Entry>], is_ours: bool) {
    if entries.is_empty() {
        return;
    }
    engine.hub.publish(Publication {
        conversation: conversation.id,
        entries: live_entries(conversation, entries),
        member_count: conversation.member_count,
        is_ours,
    });
}

/// Entries as the hub takes them, each encoded once.
pub(in crate::chat) fn live_entries<E: Borrow<Entry>>(
    conversation: &Conversation,
    entries: &[E],
) -> Vec<LiveEntry> {
    let context = EntryContext::of(conversation);
    let live = entries.iter().map(Borrow::borrow).map(|entry| LiveEntry {
        frame: entry_push(entry, context),
        membership: membership(conversation, entry),
        entry: entry.clone(),
    });
    live.collect()
}

fn membership(conversation: &Conversation, entry: &Entry) -> Membership {
    let EntryBody::Event(event) = &entry.body else { return Membership::Unchanged };
    match event {
        Event::Created => Membership::Begins(match conversation.pair() {
            Some(pair) => pair.users().to_vec(),
            None => vec![entry.by],
        }),
        Event::Joined { user } => Membership::Begins(vec![*user]),
        Event::Left { user } | Event::Removed { user } | Event::Banned { user } => Membership::Ends(*user),
        Event::Invited { .. }
        | Event::Unbanned { .. }
        | Event::RoleChanged { .. }
        | Event::Updated { .. } => Membership::Unchanged,
    }
}

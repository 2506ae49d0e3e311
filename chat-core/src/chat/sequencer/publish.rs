//! From durable entries to live delivery: each encoded once, in order.

use std::sync::Arc;

use crate::chat::engine::Engine;
use crate::domain::{Conversation, ConversationKind, Entry, EntryBody, Event};
use crate::port::{EphemeralTarget, LiveEntry, Membership, Publication};
use crate::protocol::event::Invitation;
use crate::protocol::{EntryContext, Push, entry_push};

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
    if is_ours {
        entries.iter().for_each(|entry| tell_invitee(engine, conversation, entry));
    }
}

/// Who is invited is no member yet and gets no entry: their devices are told beside the log.
fn tell_invitee(engine: &Engine, conversation: &Conversation, entry: &Entry) {
    let EntryBody::Event(Event::Invited { user }) = &entry.body else { return };
    let ConversationKind::Room { name, topic, visibility } = &conversation.kind else { return };
    let invitation = Invitation {
        room_id: conversation.id,
        room_name: name.clone(),
        topic: topic.clone(),
        visibility: *visibility,
        invited_by: entry.by,
    };
    let target = EphemeralTarget::User { user: *user, but: None };
    engine.hub.signal(target, Push::Invitation(invitation).encode());
}

/// Entries as the hub takes them, each encoded once.
fn live_entries(conversation: &Conversation, entries: &[Arc<Entry>]) -> Vec<LiveEntry> {
    let context = EntryContext::of(conversation);
    let live = entries.iter().map(|entry| LiveEntry {
        frame: entry_push(entry, context),
        membership: membership(conversation, entry),
        entry: Entry::clone(entry),
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

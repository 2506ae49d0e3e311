//! Keeping what this node thinks of logs and memberships equal to what they are.
//!
//! The sequencers publish what they write. What appears in a log in any other way (a write that commits
//! late, another node, a tool) is found here: whoever reads a head that is ahead of what is applied waits until
//! it is applied, and sweeps compare the heads and memberships of everything that is served live.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use super::engine::Engine;
use crate::domain::{Conversation, Seq};
use crate::error::{ActionError, Code};
use crate::id::{ConversationId, UserId};
use crate::limits::hard;

/// How often the heads of conversations in doubt are compared.
pub(super) const DOUBTFUL_EVERY: Duration = Duration::from_secs(1);
/// How often the heads of all conversations are compared that are served live.
pub(super) const HEADS_EVERY: Duration = Duration::from_secs(15);
/// The shortest round over the memberships of all connected users.
const MEMBERSHIPS_EVERY: Duration = Duration::from_secs(60);
/// Comparing memberships rests for so many times as long as the last user took, and at least for the second.
const MEMBERSHIPS_REST: (u32, Duration) = (20, Duration::from_millis(50));
/// Conversations that are waited for at once.
const AT_ONCE: usize = 16;

impl Engine {
    /// Waits until logs are applied up to heads that were read from the store, so that no later answer is
    /// behind the one that shows them.
    pub(super) async fn reach(
        self: &Arc<Self>,
        heads: impl IntoIterator<Item = (ConversationId, Seq)>,
    ) -> Result<(), ActionError> {
        let behind: Vec<_> = heads.into_iter().filter(|(id, head)| self.is_behind(*id, *head)).collect();
        let reached = behind.into_iter().map(|(id, head)| async move {
            match self.sequencer(id).reach(self, head).await {
                // It was there when its head was read; what became of it is found out by whoever asks for it.
                Err(error) if error.code == Code::NotFound => Ok(()),
                reached => reached,
            }
        });
        stream::iter(reached).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Makes sure that a private chat which somebody else has created is delivered to its two users.
    pub(super) async fn deliver_existing(
        self: &Arc<Self>,
        conversation: &Conversation,
    ) -> Result<(), ActionError> {
        let id = conversation.id;
        self.reach([(id, conversation.head.seq)]).await?;
        if let (None, Some(pair)) = (self.hub.head(id), conversation.pair()) {
            for user in pair.users() {
                self.sequencer(id).correct(self, user).await?;
            }
        }
        Ok(())
    }

    /// Whether less of a log is applied here, or was given to those who get it live.
    fn is_behind(&self, conversation: ConversationId, head: Seq) -> bool {
        let applied = self.known_sequencer(conversation).and_then(|sequencer| sequencer.applied_head());
        let given = applied.map(|head| head.seq).or_else(|| self.hub.head(conversation));
        given.is_some_and(|given| given < head)
    }
}

/// The conversations that have a write in doubt: few, or none, of all that are in memory.
#[derive(Debug, Default)]
pub(crate) struct Doubtful(Mutex<BTreeSet<ConversationId>>);

impl Doubtful {
    pub(super) fn add(&self, conversation: ConversationId) {
        self.lock().insert(conversation);
    }

    /// Those for which `is_in_doubt` still holds; the others are forgotten.
    fn retain(&self, is_in_doubt: impl Fn(ConversationId) -> bool) -> Vec<ConversationId> {
        let mut conversations = self.lock();
        conversations.retain(|conversation| is_in_doubt(*conversation));
        conversations.iter().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ConversationId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for entries of writes whose outcome was not known.
pub(super) async fn compare_doubtful(engine: Arc<Engine>) {
    let is_in_doubt = |id| engine.known_sequencer(id).is_some_and(|sequencer| sequencer.is_in_doubt());
    let doubtful = engine.doubtful.retain(is_in_doubt);
    compare(&engine, doubtful).await;
}

/// Looks for entries that nobody here knows of, in everything that is served live.
pub(super) async fn compare_heads(engine: Arc<Engine>) {
    compare(&engine, engine.hub.heads().into_iter().map(|(conversation, _)| conversation).collect()).await;
}

async fn compare(engine: &Arc<Engine>, conversations: Vec<ConversationId>) {
    for some in conversations.chunks(hard::HEADS) {
        // A store that fails is asked again by the next round; why it fails is logged.
        let Ok(heads) = engine.read(engine.rooms.heads(some.to_vec())).await else { return };
        for (id, head) in heads.into_iter().filter(|(id, head)| engine.is_behind(*id, head.seq)) {
            metrics::counter!("chat_gaps_found_total").increment(1);
            engine.sequencer(id).catch_up(engine, head.seq);
        }
    }
}

/// Compares, user by user and at leisure, what is delivered to connections with where their users stand, until
/// the engine ends.
pub(super) async fn keep_memberships(engine: Weak<Engine>) {
    let Some(closing) = engine.upgrade().map(|engine| engine.closing.clone()) else { return };
    let rest = |duration| {
        let closing = closing.clone();
        async move { closing.run_until_cancelled(tokio::time::sleep(duration)).await.is_some() }
    };
    while rest(MEMBERSHIPS_EVERY).await {
        let Some(users) = engine.upgrade().map(|engine| engine.hub.connected_users()) else { return };
        for user in users {
            let Some(engine) = engine.upgrade() else { return };
            let began_at = Instant::now();
            // As above.
            drop(super::background::survives(correct_user(&engine, user)).await);
            drop(engine);
            let (times, least) = MEMBERSHIPS_REST;
            if !rest(least.max(began_at.elapsed() * times)).await {
                return;
            }
        }
    }
}

/// Makes live delivery to a user what the logs say.
async fn correct_user(engine: &Arc<Engine>, user: UserId) -> Result<(), ActionError> {
    let standings = engine.standings(user).await?;
    // Memberships that begin or end from here on are found different, and then to be right.
    let mut delivered: HashMap<ConversationId, bool> = engine.hub.deliveries(user).into_iter().collect();
    let mut wrong: Vec<ConversationId> = Vec::new();
    for standing in &standings {
        if delivered.remove(&standing.conversation.id) != Some(true) {
            wrong.push(standing.conversation.id);
        }
    }
    wrong.extend(delivered.into_keys());
    for conversation in wrong {
        engine.sequencer(conversation).correct(engine, user).await?;
    }
    Ok(())
}

//! Cases of what a restart keeps. A store that says it keeps nothing passes them.

use chat_core::domain::{Conversation, ConversationKind, Entry, Event, Member, Role, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{Append, Appended, Creation, MembershipPage, MyConversation};

use super::Store;
use super::log::{Log, draft, messages, private_chat, room, seq, text};
use crate::random;

/// What a store says of a user and of some conversations.
#[derive(Debug, PartialEq)]
struct Snapshot {
    epoch: String,
    conversations: Vec<Conversation>,
    logs: Vec<Vec<Entry>>,
    members: Vec<Option<Member>>,
    lists: [Vec<MyConversation>; 2],
}

async fn snapshot(store: &Store, ids: &[ConversationId], users: &[UserId]) -> Snapshot {
    let (mut conversations, mut logs, mut members) = (Vec::new(), Vec::new(), Vec::new());
    for id in ids {
        let log = Log::open(store.port(), *id).await;
        conversations.push(log.conversation().await);
        logs.push(log.all().await);
        for user in users {
            members.push(log.member(*user).await);
        }
    }
    let list = async |rooms| {
        let page = MembershipPage { rooms, after: None, limit: 100 };
        store.my_conversations(users[0], page).await.expect("a list")
    };
    let lists = [list(true).await, list(false).await];
    let epoch = store.epoch().await.expect("an epoch");
    Snapshot { epoch, conversations, logs, members, lists }
}

/// `append`, `create`, `mark_read`, `epoch`: whatever was acknowledged is there after a restart.
pub(super) async fn a_restart_keeps_everything(store: Store) {
    let users: [UserId; 4] = random::users();
    let [me, peer, guest, banned] = users;
    let mut tea = Log::create(store.port(), room(me, "Tea 茶", Visibility::Private)).await;
    tea.invite(me, guest).await;
    tea.join(peer).await;
    tea.promote(me, peer, Role::Admin).await;
    tea.event(peer, Event::Banned { user: banned }).await;
    tea.append_new(messages(peer, 100)).await;
    store.mark_read(tea.id, me, seq(42)).await.expect("a mark");
    let mut chat = Log::create(store.port(), private_chat(peer, me)).await;
    chat.say(peer, "hello").await;
    let ids = [tea.id, chat.id];
    drop((tea, chat));

    let before = snapshot(&store, &ids, &users).await;
    let Some(store) = store.restart().await else { return };
    assert_eq!(snapshot(&store, &ids, &users).await, before);
    let Some(store) = store.restart().await else { panic!("it kept something before") };
    assert_eq!(snapshot(&store, &ids, &users).await, before, "and after another");
}

/// `append`, `create`: a log goes on where it stood, and a pair still has its chat.
pub(super) async fn a_log_goes_on_after_a_restart(store: Store) {
    let [me, peer] = random::users();
    let mut log = Log::create(store.port(), private_chat(me, peer)).await;
    log.append_new(messages(me, 10)).await;
    let (id, head) = (log.id, log.head);
    drop(log);
    let Some(store) = store.restart().await else { return };

    let creation = store.create(private_chat(peer, me)).await.expect("a creation");
    assert!(
        matches!(&creation, Creation::Existing(Conversation { id: same, kind: ConversationKind::Private(_), .. }) if *same == id),
        "{creation:?}"
    );
    let mut log = Log::open(store.port(), id).await;
    assert_eq!(log.head, head);
    log.append_new(messages(peer, 10)).await;
    assert_eq!(log.all().await.len(), 21);
}

/// `append`: idempotence outlives a restart.
pub(super) async fn duplicates_are_recognised_after_a_restart(store: Store) {
    let me = random::user();
    let mut log = Log::public(store.port(), me).await;
    let sent = draft(me, text("once"));
    let entry = log.append_new(vec![sent.clone()]).await.remove(0);
    let (id, head) = (log.id, log.head);
    drop(log);
    let Some(store) = store.restart().await else { return };

    let append = store.append(id, head, vec![sent]).await.expect("an append");
    assert_eq!(append, Append::Done(vec![Appended::Duplicate(entry)]));
}

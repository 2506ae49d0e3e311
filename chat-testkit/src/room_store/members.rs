//! Cases of what the log makes of members and of the conversation.

use std::collections::BTreeMap;

use chat_core::domain::{ConversationKind, Event, Member, MemberState, Role, RoomName, Topic};
use chat_core::id::UserId;
use chat_core::port::{Append, RoomStore};
use tokio::task::JoinSet;

use super::Store;
use super::log::{Log, draft, seq};
use crate::random;

/// `append`, `member`, `members`, `conversation`: after each event, of whatever kind, the rows are those that the
/// domain makes of the log, and the conversation counts them.
pub(super) async fn every_event_is_projected(store: Store) {
    let [owner, a, b, c] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    let mut rows = BTreeMap::from([(owner, Member::by_creation(owner, Role::Owner, seq(1)))]);
    let steps = [
        (owner, Event::Invited { user: a }),
        (a, Event::Joined { user: a }),
        (b, Event::Joined { user: b }),
        (owner, Event::RoleChanged { user: a, role: Role::Admin }),
        (a, Event::Invited { user: c }),
        (a, Event::Removed { user: c }),
        (a, Event::Banned { user: c }),
        (a, Event::Unbanned { user: c }),
        (c, Event::Joined { user: c }),
        (b, Event::Left { user: b }),
        (owner, Event::RoleChanged { user: a, role: Role::Owner }),
        (a, Event::Removed { user: c }),
        (owner, Event::Updated { name: None, topic: None }),
        (owner, Event::Left { user: owner }),
        (a, Event::Banned { user: b }),
        (a, Event::Invited { user: owner }),
        (owner, Event::Joined { user: owner }),
    ];
    for (by, event) in steps {
        let entry = log.event(by, event.clone()).await;
        if let Some(user) = event.user()
            && let Some(row) = Member::after(rows.get(&user).cloned(), user, by, &event, entry.seq)
        {
            rows.insert(user, row);
        }
        expect_rows(&log, &rows).await;
    }
}

/// Whether the store holds these rows and no others.
async fn expect_rows(log: &Log, rows: &BTreeMap<UserId, Member>) {
    for (user, row) in rows {
        assert_eq!(log.member(*user).await.as_ref(), Some(row), "at {:?}", log.head);
    }
    let joined: Vec<Member> = rows.values().filter(|row| row.is_joined()).cloned().collect();
    assert_eq!(log.store.members(log.id, None, 100).await.expect("a read"), joined);
    let owners: Vec<UserId> =
        joined.iter().filter(|row| row.role == Role::Owner).map(|row| row.user_id).collect();
    let conversation = log.conversation().await;
    assert_eq!((conversation.member_count as usize, conversation.owners), (joined.len(), owners));
}

/// `conversation`: owners are listed in the order of their ids, whenever they became owners.
pub(super) async fn owners_are_kept_in_order(store: Store) {
    let [a, b, c] = random::users();
    let mut log = Log::public(store.port(), b).await;
    for user in [c, a] {
        log.join(user).await;
        log.promote(b, user, Role::Owner).await;
    }
    assert_eq!(log.conversation().await.owners, [a, b, c]);
    log.promote(a, b, Role::Member).await;
    assert_eq!(log.conversation().await.owners, [a, c]);
    log.leave(a).await;
    assert_eq!(log.conversation().await.owners, [c]);
    log.join(a).await;
    assert_eq!(log.conversation().await.owners, [c], "who comes back is a plain member");
}

/// `append`: a role changes with its entry and nothing else of the row does.
pub(super) async fn a_role_change_reaches_members_only(store: Store) {
    let [owner, user, stranger] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.join(user).await;
    let before = log.member(user).await.expect("a row");
    log.promote(owner, user, Role::Admin).await;
    let after = log.member(user).await.expect("a row");
    assert_eq!(after, Member { role: Role::Admin, ..before });
    log.promote(owner, stranger, Role::Admin).await;
    assert_eq!(log.member(stranger).await, None, "nobody becomes a member by a role");
}

/// `append`, `conversation`: an update changes name and topic as far as it names them.
pub(super) async fn an_update_changes_what_it_names(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    let name = |text: &str| Some(RoomName::new(text).expect("a room name"));
    let topic = |text: &str| Some(Topic::new(text).expect("a topic"));
    let steps = [
        (Event::Updated { name: name("One"), topic: None }, ("One", "")),
        (Event::Updated { name: None, topic: topic("of tea") }, ("One", "of tea")),
        (Event::Updated { name: name("Two"), topic: topic("of 茶") }, ("Two", "of 茶")),
        (Event::Updated { name: None, topic: None }, ("Two", "of 茶")),
        (Event::Updated { name: None, topic: topic("") }, ("Two", "")),
    ];
    for (event, expected) in steps {
        log.event(owner, event).await;
        let kind = log.conversation().await.kind;
        let ConversationKind::Room { name, topic, .. } = kind else { panic!("it stays a room: {kind:?}") };
        assert_eq!((name.as_str(), topic.as_str()), expected);
    }
}

/// `member`: a new join is a new row: role, start and read position begin with it.
pub(super) async fn joining_again_starts_anew(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::hidden(store.port(), owner).await;
    log.join(user).await;
    log.promote(owner, user, Role::Admin).await;
    log.leave(user).await;
    log.say(owner, "unseen").await;
    log.invite(owner, user).await;
    let invited = log.member(user).await.expect("a row");
    assert_eq!((invited.state, invited.invited_by), (MemberState::Invited, Some(owner)));
    log.join(user).await;
    let member = log.member(user).await.expect("a row");
    let head = log.head.seq;
    let expected = Member::by_creation(user, Role::Member, head);
    assert_eq!(member, expected, "joined at {head}, read up to there, invited by nobody");
}

/// `members`: joined members in the order of their ids, page by page.
pub(super) async fn members_are_paged_in_order(store: Store) {
    let users: [UserId; 25] = random::users();
    let mut log = Log::public(store.port(), users[7]).await;
    for user in users.iter().rev().filter(|user| **user != users[7]) {
        log.join(*user).await;
    }
    log.leave(users[3]).await;
    log.event(users[7], Event::Banned { user: users[4] }).await;
    log.invite(users[7], random::user()).await;
    let mut expected = users.to_vec();
    expected.drain(3..5);

    let mut read = Vec::new();
    loop {
        let page = store.members(log.id, read.last().copied(), 4).await.expect("a page");
        assert!(page.len() <= 4);
        assert!(page.iter().all(Member::is_joined));
        read.extend(page.iter().map(|member| member.user_id));
        assert!(read.len() <= expected.len(), "pages do not overlap");
        if page.len() < 4 {
            break;
        }
    }
    assert_eq!(read, expected);
    let above = store.members(log.id, Some(users[3]), 100).await.expect("a page");
    assert_eq!(above.first().map(|member| member.user_id), Some(users[5]), "`after` need not be a member");
}

/// `conversation`: a room that its last member left has no members and no owners.
pub(super) async fn a_closed_room_has_no_owners(store: Store) {
    let owner = random::user();
    let mut log = Log::public(store.port(), owner).await;
    log.leave(owner).await;
    let conversation = log.conversation().await;
    assert!(conversation.is_closed());
    assert!(conversation.owners.is_empty());
    assert_eq!(log.all().await.len(), 2, "its log stays");
}

/// `append`, `members`, `conversation`: joins that compete for the head are all projected, each once.
pub(super) async fn everybody_who_joins_at_once_is_counted(store: Store) {
    let owner = random::user();
    let log = Log::public(store.port(), owner).await;
    let mut joins = JoinSet::new();
    for _ in 0..40 {
        let (store, id) = (store.port(), log.id);
        joins.spawn(async move { join_until_done(&*store, id, random::user()).await });
    }
    joins.join_all().await;
    assert_eq!(log.conversation().await.member_count, 41);
    assert_eq!(store.members(log.id, None, 100).await.expect("a page").len(), 41);
}

async fn join_until_done(store: &dyn RoomStore, id: chat_core::id::ConversationId, user: UserId) {
    let join = draft(user, chat_core::domain::EntryBody::Event(Event::Joined { user }));
    let mut head = store.conversation(id).await.expect("a read").expect("it exists").head;
    while let Append::Conflict(now) = store.append(id, head, vec![join.clone()]).await.expect("an append") {
        head = now;
        tokio::task::yield_now().await;
    }
}

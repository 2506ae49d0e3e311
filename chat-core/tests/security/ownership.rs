//! Whatever members do to each other, a room with members has an owner, and its rows are a fold of its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::chat::NewRoom;
use chat_core::domain::{Entry, EntryBody, Event, MemberState, Role, RoomName, Visibility};
use chat_core::id::UserId;
use chat_core::memory::MemoryStore;
use chat_core::port::RoomStore;
use chat_core::protocol::Code;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::device::log;
use crate::stage::unhurried;

#[derive(Debug, Clone, Copy)]
enum Act {
    Join,
    Leave,
    Invite,
    Remove,
    Ban,
    Unban,
    SetRole(Role),
}

const USERS: usize = 5;

fn acts() -> impl Strategy<Value = Vec<(usize, Act, usize)>> {
    let act = prop_oneof![
        3 => Just(Act::Join),
        3 => Just(Act::Leave),
        1 => Just(Act::Invite),
        2 => Just(Act::Remove),
        1 => Just(Act::Ban),
        1 => Just(Act::Unban),
        5 => prop::sample::select(vec![Role::Member, Role::Admin, Role::Owner]).prop_map(Act::SetRole),
    ];
    vec((0..USERS, act, 0..USERS), 1..60)
}

/// Where everybody stands after these entries, by the rules of the requirements.
fn fold(log: &[Entry]) -> BTreeMap<UserId, (MemberState, Role)> {
    let mut rows = BTreeMap::new();
    for entry in log {
        let EntryBody::Event(event) = &entry.body else { continue };
        let (user, row) = match event {
            Event::Created => (entry.by, (MemberState::Joined, Role::Owner)),
            Event::Joined { user } => (*user, (MemberState::Joined, Role::Member)),
            Event::Invited { user } => (*user, (MemberState::Invited, Role::Member)),
            Event::Left { user } | Event::Unbanned { user } => (*user, (MemberState::Left, Role::Member)),
            Event::Removed { user } => (*user, (MemberState::Removed, Role::Member)),
            Event::Banned { user } => (*user, (MemberState::Banned, Role::Member)),
            Event::RoleChanged { user, role } => (*user, (MemberState::Joined, *role)),
            Event::Updated { .. } => continue,
        };
        rows.insert(user, row);
    }
    rows
}

async fn play(visibility: Visibility, acts: Vec<(usize, Act, usize)>) {
    let store = Arc::new(MemoryStore::new());
    let world = unhurried(store.clone()).await;
    let users: Vec<UserId> = (0..USERS).map(|n| world.auth.add_user(&format!("user{n}"))).collect();
    let room = NewRoom { name: RoomName::new("room").unwrap(), topic: None, visibility };
    let room = world.chat.as_user(users[0]).create_room(room).await.unwrap().id;
    for (actor, act, target) in acts {
        let (user, target) = (world.chat.as_user(users[actor]), users[target]);
        let outcome = match act {
            Act::Join => user.join_room(room).await.map(drop),
            Act::Leave => user.leave_room(room).await,
            Act::Invite => user.invite_member(room, target).await,
            Act::Remove => user.remove_member(room, target).await,
            Act::Ban => user.ban_member(room, target).await,
            Act::Unban => user.unban_member(room, target).await,
            Act::SetRole(role) => user.set_role(room, target, role).await,
        };
        let allowed = [Code::Forbidden, Code::NotFound, Code::Conflict, Code::InvalidParams];
        assert!(
            outcome.as_ref().map_or_else(|error| allowed.contains(&error.code), |()| true),
            "{outcome:?}"
        );
        let rows = fold(&log(&*store, room).await);
        let conversation = store.conversation(room).await.unwrap().unwrap();
        let joined = |row: &&(MemberState, Role)| row.0 == MemberState::Joined;
        let members = rows.values().filter(joined).count();
        let owners: Vec<UserId> = rows
            .iter()
            .filter(|(_, row)| **row == (MemberState::Joined, Role::Owner))
            .map(|(user, _)| *user)
            .collect();
        assert!(members == 0 || !owners.is_empty(), "{members} members without an owner after {act:?}");
        assert_eq!((conversation.member_count as usize, &conversation.owners), (members, &owners));
        assert_eq!(conversation.is_closed(), members == 0);
        for user in &users {
            let row = store.member(room, *user).await.unwrap().map(|member| (member.state, member.role));
            assert_eq!(row, rows.get(user).copied());
        }
        if members == 0 {
            let gone = world.chat.as_user(users[0]).join_room(room).await;
            assert_eq!(gone.unwrap_err().code, Code::NotFound, "a closed room stays closed");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn sec_38_a_room_with_members_has_an_owner_and_its_rows_are_a_fold_of_its_log(
        is_private: bool,
        acts in acts(),
    ) {
        let visibility = if is_private { Visibility::Private } else { Visibility::Public };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(play(visibility, acts));
    }
}

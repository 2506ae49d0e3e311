//! Pages of lists: full although candidates fall out, and cheap.

use chat_core::domain::{MemberState, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{MembershipPage, RoomQuery, RoomStore};
use mongodb::bson::doc;

use super::rows::{RawLog, Setup, chat, my_rooms, room, seq, user};
use crate::support::cost_of;

/// Rooms in which a user has every kind of row, and those of them that are listed.
struct Mixed {
    me: UserId,
    joined: Vec<ConversationId>,
    invited: Vec<ConversationId>,
}

async fn mixed(setup: &Setup) -> Mixed {
    let (me, owner) = (user(), user());
    let mut mixed = Mixed { me, joined: Vec::new(), invited: Vec::new() };
    for number in 0..30 {
        let mut log = setup.public_room(owner).await;
        match number % 6 {
            0 => log.write_intent(me).await,
            1 => {
                log.write_intent(me).await;
                log.write_unapplied(me, RawLog::about("joined", me)).await;
                mixed.joined.push(log.id);
            }
            2 => {
                log.write_unapplied(me, RawLog::about("joined", me)).await;
                setup.store.conversation(log.id).await.unwrap();
                log.write_unapplied(me, RawLog::about("left", me)).await;
            }
            3 => {
                log.write_unapplied(owner, RawLog::about("invited", me)).await;
                setup.store.conversation(log.id).await.unwrap();
                mixed.invited.push(log.id);
            }
            4 => {
                log.write_unapplied(owner, RawLog::about("invited", me)).await;
                setup.store.conversation(log.id).await.unwrap();
                log.write_unapplied(owner, RawLog::about("left", owner)).await;
            }
            _ => {
                log.write_unapplied(me, RawLog::about("joined", me)).await;
                setup.store.conversation(log.id).await.unwrap();
                mixed.joined.push(log.id);
            }
        }
    }
    mixed
}

#[tokio::test]
async fn pages_of_a_users_rooms_are_full_although_some_fall_out() {
    let setup = Setup::new().await;
    for limit in [1, 3, 100] {
        // New rows each time: whoever lists applies what was left undone.
        let Mixed { me, joined, invited } = mixed(&setup).await;
        let mut expected = [&joined[..], &invited[..]].concat();
        expected.sort_unstable();
        let mine = my_rooms(&setup.store, me, limit).await;
        assert_eq!(mine.iter().map(|one| one.conversation.id).collect::<Vec<_>>(), expected);
        for one in &mine {
            let state = if joined.contains(&one.conversation.id) {
                MemberState::Joined
            } else {
                MemberState::Invited
            };
            assert_eq!(one.member.state, state);
        }
    }
}

#[tokio::test]
async fn pages_of_standings_are_full_although_some_fall_out() {
    let setup = Setup::new().await;
    for limit in [1, 4, 100] {
        let Mixed { me, mut joined, .. } = mixed(&setup).await;
        for _ in 0..3 {
            let new = chat(me, user());
            joined.push(new.id);
            setup.store.create(new).await.unwrap();
        }
        joined.sort_unstable();
        let mut read: Vec<ConversationId> = Vec::new();
        loop {
            let page = setup.store.standings(me, read.last().copied(), limit).await.unwrap();
            read.extend(page.iter().map(|standing| standing.conversation.id));
            if page.len() < limit as usize {
                break;
            }
        }
        assert_eq!(read, joined);
    }
}

#[tokio::test]
async fn pages_of_a_search_are_full_although_some_fall_out() {
    let (setup, owner) = (Setup::new().await, user());
    let mut expected = Vec::new();
    for number in 0..24 {
        let mut log = setup.create(room(owner, "A tea room", Visibility::Public)).await;
        match number % 4 {
            0 => log.write_unapplied(owner, RawLog::about("left", owner)).await,
            1 => log.write_unapplied(owner, doc! { "type": "updated", "name": "Coffee" }).await,
            _ => expected.push(log.id),
        }
    }
    expected.sort_unstable();
    let mut read: Vec<ConversationId> = Vec::new();
    loop {
        let query = RoomQuery { text: "TEA".to_owned(), after: read.last().copied(), limit: 5 };
        let page = setup.store.discover(query).await.unwrap();
        read.extend(page.iter().map(|room| room.id));
        if page.len() < 5 {
            break;
        }
    }
    assert_eq!(read, expected);
}

#[tokio::test]
async fn a_list_reads_rows_of_all_conversations_together() {
    let (setup, [me, other]) = (Setup::new().await, [user(), user()]);
    for _ in 0..40 {
        setup.public_room(me).await.write_messages(other, 3).await;
    }
    let (standings, cost) = cost_of(&setup.beside, setup.store.standings(me, None, 100)).await;
    assert_eq!(standings.unwrap().len(), 40);
    // The page, its rooms and its rows; for each its head, and whether there are events. A single server makes all of
    // them durable by one write.
    assert!(cost.commands <= 4 + 2 * 40 && cost.rows <= 3 * 40 + 2 * 40 + 1, "{cost:?}");

    let page = MembershipPage { rooms: true, after: None, limit: 100 };
    let (mine, cost) = cost_of(&setup.beside, setup.store.my_conversations(me, page)).await;
    assert_eq!(mine.unwrap().len(), 40);
    // And for each the newest message, how many there are up to the read position, and whose those above are.
    assert!(cost.commands <= 4 + 5 * 40 && cost.rows <= 3 * 40 + 7 * 40 + 1, "{cost:?}");
}

#[tokio::test]
async fn events_are_looked_for_without_reading_messages() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_messages(owner, 5_000).await;
    let (conversation, cost) = cost_of(&setup.beside, setup.store.conversation(log.id)).await;
    assert_eq!(conversation.unwrap().unwrap().head.seq, log.head());
    assert!(cost.rows <= 4 && cost.keys <= 10, "{cost:?}");
}

#[tokio::test]
async fn a_mark_that_changes_nothing_writes_nothing() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_messages(user(), 9).await;
    let mark = async |number| {
        let (mark, cost) = cost_of(&setup.beside, setup.store.mark_read(log.id, owner, seq(number))).await;
        (mark.unwrap().unwrap().get(), cost.wrote)
    };
    assert_eq!(mark(6).await, (6, true));
    assert_eq!(mark(6).await, (6, false));
    assert_eq!(mark(3).await, (6, false));
    assert_eq!(mark(99).await, (10, true));
    assert_eq!(mark(100).await, (10, false));
}

#[tokio::test]
async fn who_shares_a_conversation_is_found_in_the_index() {
    let (setup, [me, far]) = (Setup::new().await, [user(), user()]);
    let mut chats: Vec<_> = (0..230).map(|_| chat(me, user())).collect();
    // The last that is looked at.
    chats.sort_by_key(|new| new.id);
    let last = ConversationId::from_bytes([0xff; 12]);
    chats.push(chat_core::port::NewConversation { id: last, ..chat(me, far) });
    for new in chats {
        setup.store.create(new).await.unwrap();
    }
    let others: Vec<UserId> = (0..99).map(|_| user()).chain([far]).collect();
    let (sharing, cost) = cost_of(&setup.beside, setup.store.sharing(me, others)).await;
    assert_eq!(sharing.unwrap(), [far]);
    assert!(cost.commands == 4 && cost.rows <= 231, "only the rows of the one user are read: {cost:?}");
}

#[tokio::test]
async fn sec_56_a_search_reads_nothing_but_its_index() {
    let (setup, owner) = (Setup::new().await, user());
    for number in 0..60 {
        setup.create(room(owner, &format!("room {number}"), Visibility::Public)).await;
    }
    let query = RoomQuery { text: "no such name".to_owned(), after: None, limit: 10 };
    let (found, cost) = cost_of(&setup.beside, setup.store.discover(query)).await;
    assert_eq!(found.unwrap(), []);
    assert!(cost.commands == 1 && cost.rows == 0, "{cost:?}");
}

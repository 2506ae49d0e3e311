//! Rows as a crash leaves them: between the steps of a creation, of a join, of any event. Whoever reads next finds what
//! the log says.

use chat_core::domain::{MemberState, RoomName, Topic, Visibility};
use chat_core::error::StoreError;
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{Creation, MembershipPage, RoomQuery, RoomStore};
use mongodb::bson::{Bson, doc};

use super::rows::{RawLog, Setup, chat, member_id, my_rooms, object_id, room, seq, user};

async fn standing_in(setup: &Setup, user: UserId) -> Vec<ConversationId> {
    let standings = setup.store.standings(user, None, 100).await.unwrap();
    standings.iter().map(|standing| standing.conversation.id).collect()
}

async fn found(setup: &Setup, text: &str) -> Vec<ConversationId> {
    let query = RoomQuery { text: text.to_owned(), after: None, limit: 100 };
    setup.store.discover(query).await.unwrap().iter().map(|room| room.id).collect()
}

/// Undoes what a creation does after its row: members from the `kept`-th on, and the row's own end.
async fn tear_creation(setup: &Setup, collection: &str, id: ConversationId, members: &[UserId]) {
    let unfinished = doc! { "$set": { "projected_seq": 0_i64, "member_count": 0_i64 } };
    setup.rows(collection).update_one(doc! { "_id": object_id(id.as_bytes()) }, unfinished).await.unwrap();
    for user in members {
        setup.rows("members").delete_one(doc! { "_id": member_id(id, *user) }).await.unwrap();
    }
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_finished_by_whoever_reads_it() {
    let setup = Setup::new().await;
    for entry_is_written in [true, false] {
        let [owner, other] = [user(), user()];
        let new = chat(owner, other);
        let id = new.id;
        setup.store.create(new.clone()).await.unwrap();
        let whole = setup.store.conversation(id).await.unwrap();
        assert_eq!(whole.as_ref().unwrap().member_count, 2);
        let all = async || setup.store.all_conversations(None, 100).await.unwrap();
        let before = all().await;

        tear_creation(&setup, "private_chats", id, &[owner, other]).await;
        if !entry_is_written {
            setup
                .rows("messages")
                .delete_one(doc! { "conversation": object_id(id.as_bytes()) })
                .await
                .unwrap();
        }
        assert_eq!(all().await, before);
        let page = MembershipPage { rooms: false, after: None, limit: 10 };
        for user in [owner, other] {
            let mine = setup.store.my_conversations(user, page).await.unwrap();
            assert_eq!(mine.len(), 1);
            assert_eq!(Some(&mine[0].conversation), whole.as_ref());
        }
        let again = setup.store.create(new).await.unwrap();
        assert_eq!(Some(again), whole.map(Creation::New));
    }
}

#[tokio::test]
async fn a_creation_that_was_cut_off_between_members_is_listed_whole() {
    let (setup, [owner, other]) = (Setup::new().await, [user(), user()]);
    let new = chat(owner, other);
    let id = new.id;
    setup.store.create(new).await.unwrap();
    tear_creation(&setup, "private_chats", id, &[other]).await;
    let standings = setup.store.standings(owner, None, 10).await.unwrap();
    assert_eq!(standings.len(), 1);
    assert_eq!((standings[0].conversation.member_count, standings[0].conversation.head.seq), (2, seq(1)));
    assert_eq!(standing_in(&setup, other).await, [id]);
}

#[tokio::test]
async fn an_intent_to_join_is_no_membership() {
    let (setup, [owner, joiner]) = (Setup::new().await, [user(), user()]);
    let log = setup.public_room(owner).await;
    log.write_intent(joiner).await;
    for _ in 0..2 {
        assert_eq!(setup.store.member(log.id, joiner).await.unwrap(), None);
        assert_eq!(setup.store.members(log.id, None, 10).await.unwrap().len(), 1);
        assert_eq!(my_rooms(&setup.store, joiner, 10).await, []);
        assert_eq!(standing_in(&setup, joiner).await, []);
        assert_eq!(setup.store.room_count(joiner).await.unwrap(), 0);
        assert_eq!(setup.store.mark_read(log.id, joiner, seq(1)).await.unwrap(), None);
        assert_eq!(setup.store.sharing(owner, vec![joiner]).await.unwrap(), []);
        assert_eq!(setup.store.conversation(log.id).await.unwrap().unwrap().member_count, 1);
    }
}

#[tokio::test]
async fn a_join_that_was_entered_counts_although_its_row_was_not_written() {
    let setup = Setup::new().await;
    for was_member in [false, true] {
        let [owner, joiner] = [user(), user()];
        let mut log = setup.public_room(owner).await;
        if was_member {
            log.write_unapplied(joiner, RawLog::about("joined", joiner)).await;
            log.write_unapplied(joiner, RawLog::about("left", joiner)).await;
            assert_eq!(setup.store.conversation(log.id).await.unwrap().unwrap().member_count, 1);
        }
        log.write_intent(joiner).await;
        log.write_unapplied(joiner, RawLog::about("joined", joiner)).await;
        let standings = setup.store.standings(joiner, None, 10).await.unwrap();
        assert_eq!(standings.len(), 1);
        let standing = &standings[0];
        assert_eq!((standing.member.state, standing.member.since_seq), (MemberState::Joined, log.head()));
        assert_eq!((standing.conversation.member_count, standing.conversation.head.seq), (2, log.head()));
        assert_eq!(my_rooms(&setup.store, joiner, 10).await[0].member, standing.member);
        assert_eq!(setup.store.room_count(joiner).await.unwrap(), 1);
        assert_eq!(setup.store.mark_read(log.id, joiner, seq(1)).await.unwrap(), Some(log.head()));
    }
}

#[tokio::test]
async fn an_event_whose_member_row_was_written_is_counted_once() {
    let (setup, [owner, joiner]) = (Setup::new().await, [user(), user()]);
    let mut log = setup.public_room(owner).await;
    log.write_intent(joiner).await;
    log.write_unapplied(joiner, RawLog::about("joined", joiner)).await;
    let row = doc! { "_id": object_id(log.id.as_bytes()) };
    let before = setup.rows("chat_rooms").find_one(row.clone()).await.unwrap().unwrap();
    let applied = setup.store.conversation(log.id).await.unwrap().unwrap();
    assert_eq!(applied.member_count, 2);
    // As if the row of the room had not been reached.
    setup.rows("chat_rooms").replace_one(row, before).await.unwrap();
    for user in [owner, joiner] {
        let mine = my_rooms(&setup.store, user, 10).await;
        assert_eq!(mine.len(), 1);
        assert_eq!(mine[0].conversation, applied);
    }
}

#[tokio::test]
async fn sec_35_who_was_removed_is_out_although_no_row_says_so() {
    let setup = Setup::new().await;
    for kind in ["left", "removed", "banned"] {
        let [owner, member] = [user(), user()];
        let mut log = setup.public_room(owner).await;
        log.write_unapplied(member, RawLog::about("joined", member)).await;
        assert_eq!(setup.store.conversation(log.id).await.unwrap().unwrap().member_count, 2);
        assert_eq!(setup.store.sharing(owner, vec![member]).await.unwrap(), [member]);
        log.write_unapplied(owner, RawLog::about(kind, member)).await;
        assert_eq!(standing_in(&setup, member).await, [], "{kind}");
        assert_eq!(my_rooms(&setup.store, member, 10).await, []);
        let mine = my_rooms(&setup.store, owner, 10).await;
        assert_eq!((mine[0].conversation.member_count, mine[0].conversation.head.seq), (1, log.head()));
        assert_eq!(setup.store.sharing(owner, vec![member]).await.unwrap(), []);
    }
}

#[tokio::test]
async fn discovery_goes_by_the_log_and_not_by_rows_that_are_behind() {
    let (setup, owner) = (Setup::new().await, user());
    let mut renamed = setup.create(room(owner, "Green tea", Visibility::Public)).await;
    renamed.write_unapplied(owner, doc! { "type": "updated", "name": "Coffee", "topic": "beans" }).await;
    let mut closed = setup.create(room(owner, "Black tea", Visibility::Public)).await;
    closed.write_unapplied(owner, RawLog::about("left", owner)).await;
    let kept = setup.create(room(owner, "White tea", Visibility::Public)).await;
    assert_eq!(found(&setup, "tea").await, [kept.id]);
    assert_eq!(found(&setup, "COFFEE").await, [renamed.id]);
    let query = RoomQuery { text: "coffee".to_owned(), after: None, limit: 1 };
    let chat_core::domain::ConversationKind::Room { name, topic, .. } =
        setup.store.discover(query).await.unwrap().remove(0).kind
    else {
        panic!("it is a room")
    };
    assert_eq!((name, topic), (RoomName::new("Coffee").unwrap(), Topic::new("beans").unwrap()));
}

#[tokio::test]
async fn a_chat_that_was_merged_into_another_is_in_no_list() {
    let (setup, [me, peer, third]) = (Setup::new().await, [user(), user(), user()]);
    let (old, kept) = (chat(me, peer), chat(me, third));
    let (old_id, kept_id) = (old.id, kept.id);
    setup.store.create(old).await.unwrap();
    setup.store.create(kept).await.unwrap();
    let merged = doc! { "$set": { "merged_into": object_id(kept_id.as_bytes()) }, "$unset": { "pair": "" } };
    let row = doc! { "_id": object_id(old_id.as_bytes()) };
    setup.rows("private_chats").update_one(row, merged).await.unwrap();
    let all = setup.store.all_conversations(None, 1).await.unwrap();
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [kept_id]);
    assert_eq!(setup.store.all_conversations(Some(kept_id), 1).await.unwrap(), []);
    assert_eq!(standing_in(&setup, me).await, [kept_id]);
    assert_eq!(setup.store.conversation(old_id).await.unwrap(), None);
}

#[tokio::test]
async fn a_member_of_a_conversation_that_is_gone_is_damage() {
    let (setup, owner) = (Setup::new().await, user());
    let log = setup.public_room(owner).await;
    setup.rows("chat_rooms").delete_one(doc! { "_id": object_id(log.id.as_bytes()) }).await.unwrap();
    let page = MembershipPage { rooms: true, after: None, limit: 10 };
    for error in [
        setup.store.standings(owner, None, 10).await.unwrap_err(),
        setup.store.my_conversations(owner, page).await.unwrap_err(),
    ] {
        assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
        assert!(error.to_string().contains(&log.id.to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_log_that_ends_before_its_row_is_damage() {
    let (setup, owner) = (Setup::new().await, user());
    let mut log = setup.public_room(owner).await;
    log.write_events(3).await;
    let last = doc! { "conversation": object_id(log.id.as_bytes()), "seq": Bson::Int64(4) };
    setup.rows("messages").delete_one(last).await.unwrap();
    let error = setup.store.standings(owner, None, 10).await.unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt(_)), "{error:?}");
    assert!(error.to_string().contains(&log.id.to_string()), "{error}");
}

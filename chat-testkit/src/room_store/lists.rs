//! Cases of the lists: a user's conversations, discovery, and who shares one.

use chat_core::domain::{Conversation, Event, Role, RoomName, Topic, Visibility};
use chat_core::id::{ConversationId, UserId};
use chat_core::port::{MembershipPage, MyConversation, RoomQuery, RoomStore, Unread};

use super::Store;
use super::log::{Log, messages, private_chat, room};
use crate::random;

async fn mine(store: &dyn RoomStore, user: UserId, rooms: bool) -> Vec<MyConversation> {
    let page = MembershipPage { rooms, after: None, limit: 100 };
    store.my_conversations(user, page).await.expect("a list")
}

fn ids(listed: &[MyConversation]) -> Vec<ConversationId> {
    listed.iter().map(|one| one.conversation.id).collect()
}

async fn standing_ids(store: &dyn RoomStore, user: UserId) -> Vec<ConversationId> {
    let standings = store.standings(user, None, 100).await.expect("a page");
    standings.iter().map(|standing| standing.conversation.id).collect()
}

async fn found(store: &dyn RoomStore, text: &str) -> Vec<ConversationId> {
    let query = RoomQuery { text: text.to_owned(), after: None, limit: 100 };
    store.discover(query).await.expect("a search").iter().map(|room| room.id).collect()
}

/// `my_conversations`: rooms and private chats are two lists; each row is whole.
pub(super) async fn rooms_and_private_chats_are_listed_apart(store: Store) {
    let [me, peer] = random::users();
    let mut tea = Log::public(store.port(), me).await;
    let mut chat = Log::create(store.port(), private_chat(peer, me)).await;
    let last_in_tea = tea.say(me, "first").await;
    tea.invite(me, peer).await;
    let last_in_chat = chat.say(peer, "hello").await;
    for (rooms, log, last_message, unread) in [(true, &tea, last_in_tea, 0), (false, &chat, last_in_chat, 1)]
    {
        let listed = mine(&*store, me, rooms).await;
        let expected = MyConversation {
            conversation: log.conversation().await,
            member: log.member(me).await.expect("a row"),
            last_message: Some(last_message),
            unread: Unread::Exactly(unread),
        };
        assert_eq!(listed, [expected]);
    }
}

/// `my_conversations`: a room is listed while the user is joined or invited.
pub(super) async fn only_joined_and_invited_rooms_are_listed(store: Store) {
    let [owner, user] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    assert_eq!(ids(&mine(&*store, user, true).await), []);
    let steps = [
        (Event::Invited { user }, true),
        (Event::Removed { user }, false),
        (Event::Joined { user }, true),
        (Event::Left { user }, false),
        (Event::Joined { user }, true),
        (Event::Banned { user }, false),
        (Event::Unbanned { user }, false),
    ];
    for (event, is_listed) in steps {
        log.event(owner, event.clone()).await;
        let listed = ids(&mine(&*store, user, true).await);
        assert_eq!(listed, if is_listed { vec![log.id] } else { vec![] }, "after {event:?}");
    }
    assert_eq!(ids(&mine(&*store, owner, true).await), [log.id]);
}

/// `my_conversations`: an invitee sees neither a message nor a count.
pub(super) async fn an_invitee_sees_no_message(store: Store) {
    let [owner, user] = random::users();
    for new in [room(owner, "open", Visibility::Public), room(owner, "hidden", Visibility::Private)] {
        let mut log = Log::create(store.port(), new).await;
        log.say(owner, "before").await;
        log.invite(owner, user).await;
        log.say(owner, "after").await;
    }
    let listed = mine(&*store, user, true).await;
    assert_eq!(listed.len(), 2);
    for one in listed {
        assert_eq!((one.last_message, one.unread), (None, Unread::Exactly(0)));
        assert_eq!(one.member.invited_by, Some(owner));
    }
}

/// `my_conversations`: the newest message; in a private room none from before the latest join.
pub(super) async fn the_last_message_respects_the_join_of_private_rooms(store: Store) {
    let [owner, user] = random::users();
    for visibility in [Visibility::Public, Visibility::Private] {
        let mut log = Log::create(store.port(), room(owner, "room", visibility)).await;
        let id = log.id;
        let last = async || {
            let listed = mine(&*store, user, true).await;
            let this = listed.into_iter().find(|one| one.conversation.id == id);
            this.expect("the user is joined").last_message
        };
        log.join(user).await;
        assert_eq!(last().await, None, "nobody has said anything");
        log.say(owner, "first").await;
        log.leave(user).await;
        let old = log.say(owner, "second").await;
        log.join(user).await;
        let expected = (visibility == Visibility::Public).then_some(old);
        assert_eq!(last().await, expected, "{visibility:?}");
        let new = log.say(user, "own").await;
        log.invite(owner, random::user()).await;
        assert_eq!(last().await, Some(new), "own messages count, events do not");
    }
}

/// `my_conversations`: pages in the order of ids, with nothing between them lost.
pub(super) async fn my_conversations_are_paged_in_order(store: Store) {
    let me = random::user();
    let (mut rooms, mut chats) = (Vec::new(), Vec::new());
    for number in 0..11 {
        rooms.push(Log::public(store.port(), me).await.id);
        chats.push(Log::create(store.port(), private_chat(me, random::user())).await.id);
        if number % 3 == 0 {
            Log::public(store.port(), me).await.leave(me).await;
        }
    }
    rooms.sort_unstable();
    chats.sort_unstable();
    for (rooms, expected) in [(true, rooms), (false, chats)] {
        let mut read: Vec<ConversationId> = Vec::new();
        loop {
            let page = MembershipPage { rooms, after: read.last().copied(), limit: 3 };
            let listed = store.my_conversations(me, page).await.expect("a page");
            read.extend(ids(&listed));
            assert!(read.len() <= expected.len(), "pages do not overlap");
            if listed.len() < 3 {
                break;
            }
        }
        assert_eq!(read, expected);
    }
}

/// `standings`: rooms and private chats that the user is joined in, with the row.
pub(super) async fn standings_hold_what_the_user_is_joined_in(store: Store) {
    let [me, owner] = random::users();
    let mut joined = Log::public(store.port(), owner).await;
    joined.join(me).await;
    joined.append_new(messages(owner, 3)).await;
    store.mark_read(joined.id, me, joined.head.seq).await.expect("a mark");
    let chat = Log::create(store.port(), private_chat(owner, me)).await;
    let mut invited = Log::hidden(store.port(), owner).await;
    invited.invite(owner, me).await;
    let mut left = Log::public(store.port(), owner).await;
    left.join(me).await;
    left.leave(me).await;

    let standings = store.standings(me, None, 100).await.expect("a page");
    let mut expected = [&joined, &chat];
    expected.sort_by_key(|log| log.id);
    assert_eq!(standings.len(), 2, "neither invitations nor rooms left");
    for (standing, log) in standings.iter().zip(expected) {
        assert_eq!(standing.conversation, log.conversation().await);
        assert_eq!(Some(&standing.member), log.member(me).await.as_ref());
    }
}

/// `standings`: pages in the order of ids.
pub(super) async fn standings_are_paged_in_order(store: Store) {
    let me = random::user();
    let mut expected = Vec::new();
    for _ in 0..6 {
        expected.push(Log::hidden(store.port(), me).await.id);
        expected.push(Log::create(store.port(), private_chat(me, random::user())).await.id);
    }
    expected.sort_unstable();
    let mut read: Vec<ConversationId> = Vec::new();
    loop {
        let page = store.standings(me, read.last().copied(), 5).await.expect("a page");
        read.extend(page.iter().map(|standing| standing.conversation.id));
        assert!(read.len() <= expected.len(), "pages do not overlap");
        if page.len() < 5 {
            break;
        }
    }
    assert_eq!(read, expected);
    assert_eq!(standing_ids(&*store, me).await, expected);
}

/// `room_count`: rooms that the user is joined in; private chats and invitations do not count.
pub(super) async fn rooms_are_counted_while_joined(store: Store) {
    let [me, owner] = random::users();
    let count = async || store.room_count(me).await.expect("a count");
    Log::public(store.port(), me).await;
    Log::create(store.port(), private_chat(me, owner)).await;
    assert_eq!(count().await, 1);
    let mut log = Log::hidden(store.port(), owner).await;
    log.invite(owner, me).await;
    assert_eq!(count().await, 1);
    log.join(me).await;
    assert_eq!(count().await, 2);
    log.join(me).await;
    assert_eq!(count().await, 2);
    log.event(owner, Event::Removed { user: me }).await;
    assert_eq!(count().await, 1);
}

/// `discover`: public rooms by part of their name, whatever its case, under their present name.
pub(super) async fn public_rooms_are_found_by_part_of_their_name(store: Store) {
    let owner = random::user();
    let create = async |name: &str| Log::create(store.port(), room(owner, name, Visibility::Public)).await;
    let mut tea = create("Green Tea").await;
    let cafe = create("CAFÉ Élan").await;
    let chinese = create("北京茶馆").await;
    let street = create("ΟΔΟΣ Straße").await;
    Log::create(store.port(), room(owner, "hidden tea", Visibility::Private)).await;
    Log::create(store.port(), private_chat(owner, random::user())).await;

    for (text, expected) in [
        ("tea", vec![tea.id]),
        ("GREEN", vec![tea.id]),
        ("n T", vec![tea.id]),
        ("café é", vec![cafe.id]),
        ("cafe\u{301}", vec![cafe.id]),
        ("茶", vec![chinese.id]),
        ("οδος", vec![street.id]),
        ("STRASSE", vec![street.id]),
        ("σ strasse", vec![street.id]),
        ("coffee", vec![]),
    ] {
        assert_eq!(found(&*store, text).await, expected, "{text}");
    }
    let mut all = vec![tea.id, cafe.id, chinese.id, street.id];
    all.sort_unstable();
    assert_eq!(found(&*store, "").await, all, "an empty text finds all public rooms");

    let name = Some(RoomName::new("Coffee").expect("a room name"));
    tea.event(owner, Event::Updated { name, topic: None }).await;
    assert_eq!(found(&*store, "coffee").await, [tea.id]);
    assert_eq!(found(&*store, "tea").await, [], "not under its old name");
}

/// `discover`: the text is no pattern.
pub(super) async fn a_search_takes_its_text_literally(store: Store) {
    let owner = random::user();
    let percent = Log::create(store.port(), room(owner, "100% tea", Visibility::Public)).await;
    let under = Log::create(store.port(), room(owner, "a_b", Visibility::Public)).await;
    let dotted = Log::create(store.port(), room(owner, "c.* (d) \\e 'f\" [g]", Visibility::Public)).await;
    for (text, expected) in [
        ("%", vec![percent.id]),
        ("0% t", vec![percent.id]),
        ("_", vec![under.id]),
        ("a_b", vec![under.id]),
        (".*", vec![dotted.id]),
        ("(d", vec![dotted.id]),
        ("\\", vec![dotted.id]),
        ("'f\"", vec![dotted.id]),
        ("[g", vec![dotted.id]),
        ("*", vec![dotted.id]),
        ("a%b", vec![]),
        ("^a", vec![]),
        ("{\"$ne\":1}", vec![]),
    ] {
        assert_eq!(found(&*store, text).await, expected, "{text}");
    }
}

/// `discover`: pages in the order of ids, within what the text finds.
pub(super) async fn discovery_is_paged_in_order(store: Store) {
    let owner = random::user();
    let mut expected = Vec::new();
    for number in 0..11 {
        let name = if number % 4 == 3 { "coffee".to_owned() } else { format!("tea {number}") };
        let log = Log::create(store.port(), room(owner, &name, Visibility::Public)).await;
        if number % 4 != 3 {
            expected.push(log.id);
        }
    }
    expected.sort_unstable();
    let mut read: Vec<ConversationId> = Vec::new();
    loop {
        let query = RoomQuery { text: "TEA".to_owned(), after: read.last().copied(), limit: 4 };
        let page = store.discover(query).await.expect("a page");
        read.extend(page.iter().map(|room| room.id));
        assert!(read.len() <= expected.len(), "pages do not overlap");
        if page.len() < 4 {
            break;
        }
    }
    assert_eq!(read, expected);
}

/// `discover`, `my_conversations`, `standings`: a room that its last member left is hidden from everybody.
pub(super) async fn closed_rooms_are_hidden(store: Store) {
    let [owner, invitee] = random::users();
    let mut log = Log::public(store.port(), owner).await;
    log.invite(owner, invitee).await;
    assert_eq!(found(&*store, "").await, [log.id]);
    log.leave(owner).await;
    assert_eq!(found(&*store, "").await, []);
    for user in [owner, invitee] {
        assert_eq!(ids(&mine(&*store, user, true).await), []);
        assert_eq!(standing_ids(&*store, user).await, []);
        assert_eq!(store.room_count(user).await.expect("a count"), 0);
    }
}

async fn everything(store: &dyn RoomStore, limit: u32) -> Vec<Conversation> {
    let mut read: Vec<Conversation> = Vec::new();
    loop {
        let after = read.last().map(|last| last.id);
        let page = store.all_conversations(after, limit).await.expect("a page");
        assert!(page.len() <= limit as usize, "at most the limit");
        assert!(page.iter().all(|one| after < Some(one.id)), "pages do not overlap");
        if page.is_empty() {
            return read;
        }
        read.extend(page);
    }
}

/// `all_conversations`: each once, in the order of ids, in pages of any size.
pub(super) async fn all_conversations_are_paged_in_order(store: Store) {
    assert_eq!(store.all_conversations(None, 10).await.expect("a page"), []);
    let mut expected = Vec::new();
    for _ in 0..8 {
        let [one, other] = random::users();
        expected.push(Log::public(store.port(), one).await.id);
        expected.push(Log::hidden(store.port(), other).await.id);
        expected.push(Log::create(store.port(), private_chat(one, other)).await.id);
    }
    expected.sort_unstable();
    for limit in [1, 7, 24, 1_000] {
        let read: Vec<_> = everything(&*store, limit).await.iter().map(|one| one.id).collect();
        assert_eq!(read, expected, "in steps of {limit}");
    }
    let last = expected.last().copied();
    assert_eq!(store.all_conversations(last, 10).await.expect("a page"), [], "nothing is above the last");
}

/// `all_conversations`: rooms, closed ones too, and private chats, each at its head.
pub(super) async fn all_conversations_are_whole(store: Store) {
    let [owner, other] = random::users();
    let mut open = Log::public(store.port(), owner).await;
    open.join(other).await;
    open.promote(owner, other, Role::Owner).await;
    let (name, topic) = (RoomName::new("Renamed").ok(), Topic::new("a topic").ok());
    open.event(owner, Event::Updated { name, topic }).await;
    let mut closed = Log::hidden(store.port(), owner).await;
    closed.say(owner, "the last").await;
    closed.leave(owner).await;
    let mut chat = Log::create(store.port(), private_chat(owner, other)).await;
    chat.append_new(messages(other, 3)).await;
    let mut expected = Vec::new();
    for log in [&open, &closed, &chat] {
        let conversation = log.conversation().await;
        assert_eq!(conversation.head, log.head);
        expected.push(conversation);
    }
    expected.sort_by_key(|one| one.id);
    assert_eq!(everything(&*store, 2).await, expected);
}

/// `sharing`: those with whom the user is joined in one conversation at this moment.
pub(super) async fn sharing_needs_both_joined_in_one_conversation(store: Store) {
    let [me, peer, member, invitee, gone, stranger, elsewhere] = random::users();
    Log::create(store.port(), private_chat(me, peer)).await;
    let mut log = Log::public(store.port(), member).await;
    log.join(me).await;
    log.invite(me, invitee).await;
    log.join(gone).await;
    log.leave(gone).await;
    Log::public(store.port(), elsewhere).await;

    let sharing = async |user, others: &[UserId]| {
        let mut sharing = store.sharing(user, others.to_vec()).await.expect("an answer");
        sharing.sort_unstable();
        sharing
    };
    let others = [peer, member, invitee, gone, stranger, elsewhere];
    let mut expected = [peer, member];
    expected.sort_unstable();
    assert_eq!(sharing(me, &others).await, expected);
    assert_eq!(sharing(me, &[stranger, gone]).await, []);
    assert_eq!(sharing(peer, &[me, member]).await, [me], "not over a third");
    assert_eq!(sharing(invitee, &[me, member]).await, [], "an invitation shares nothing");
    log.leave(me).await;
    assert_eq!(sharing(me, &others).await, [peer]);
    let many: Vec<UserId> = (0..99).map(|_| random::user()).chain([peer]).collect();
    assert_eq!(sharing(me, &many).await, [peer], "up to a hundred");
}

/// `heads`: of every conversation that was asked for and exists, in any order.
pub(super) async fn heads_are_those_of_the_logs(store: Store) {
    let [owner, peer] = random::users();
    let mut room = Log::public(store.port(), owner).await;
    let chat = Log::create(store.port(), private_chat(owner, peer)).await;
    let _other = Log::public(store.port(), owner).await;
    assert_eq!(store.heads(Vec::new()).await.expect("heads"), []);
    for texts in [1, 3] {
        room.append_new(messages(owner, texts)).await;
        let mut expected =
            [(room.id, room.conversation().await.head), (chat.id, chat.conversation().await.head)];
        let asked = vec![room.id, random::conversation(), chat.id];
        let mut heads = store.heads(asked).await.expect("heads");
        heads.sort_unstable_by_key(|(id, _)| *id);
        expected.sort_unstable_by_key(|(id, _)| *id);
        assert_eq!(heads, expected);
    }
}

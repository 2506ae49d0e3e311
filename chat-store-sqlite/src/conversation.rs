//! Conversations: creating, finding and listing them. Their logs are in `log`, their members in `member`.

use chat_core::domain::{
    Conversation, ConversationKind, Draft, EntryBody, Event, Head, Member, Pair, Role, RoomName, Seq, Topic,
    Visibility,
};
use chat_core::id::{ConversationId, UserId};
use chat_core::limits::hard;
use chat_core::port::{
    Creation, MembershipPage, MyConversation, NewConversation, RoomQuery, Standing, Unread,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::column::{get, integer};
use crate::error::{Work, WorkError};
use crate::log::{self, LogKey, Stretch};
use crate::{entry, member};

macro_rules! select_conversations {
    ($rest:literal) => {
        concat!(
            "SELECT key, id, kind, name, topic, low, high, created_by, created_at, member_count \
             FROM conversations WHERE ",
            $rest
        )
    };
}

/// Finds public rooms. The index holds all of these columns.
const DISCOVER: &str = "SELECT id FROM conversations INDEXED BY conversations_public
               WHERE kind = 0 AND member_count > 0 AND id > ?1 AND instr(name_folded, ?2) > 0
               ORDER BY id LIMIT ?3";

/// A conversation with the key of its log.
struct Stored {
    key: LogKey,
    conversation: Conversation,
}

/// Creates a conversation; see the port for the contract.
pub(crate) fn create(connection: &Connection, new: &NewConversation) -> Work<Creation> {
    if let Some(existing) = existing(connection, new)? {
        return Ok(Creation::Existing(existing.conversation));
    }
    let key = insert(connection, new)?;
    let draft = Draft {
        id: new.entry_id,
        by: new.created_by,
        timestamp: new.created_at,
        body: EntryBody::Event(Event::Created),
    };
    let first = draft.at(new.id, Head::default());
    entry::insert_event(connection, key, &first, &Event::Created)?;
    let first_members = match &new.kind {
        ConversationKind::Room { .. } => vec![(new.created_by, Role::Owner)],
        ConversationKind::Private(pair) => pair.users().map(|user| (user, Role::Member)).to_vec(),
    };
    for (user, role) in &first_members {
        member::store(connection, new.id, &Member::by_creation(*user, *role, first.seq))?;
    }
    add_members(connection, new.id, integer(first_members.len() as u64))?;
    let created = load(connection, new.id)?;
    created
        .map(|created| Creation::New(created.conversation))
        .ok_or_else(|| WorkError::damaged("a new conversation is not found"))
}

/// The conversation that is already there instead of the new one.
fn existing(connection: &Connection, new: &NewConversation) -> Work<Option<Stored>> {
    if let ConversationKind::Private(pair) = &new.kind {
        let [low, high] = pair.users();
        // `kind = 2` names the index.
        let sql = select_conversations!("low = ?1 AND high = ?2 AND kind = 2");
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query([low.as_bytes(), high.as_bytes()])?;
        if let Some(row) = rows.next()? {
            return read_conversation(connection, row).map(Some);
        }
    }
    load(connection, new.id)
}

fn insert(connection: &Connection, new: &NewConversation) -> Work<LogKey> {
    let (kind, name, topic, pair) = match &new.kind {
        ConversationKind::Room { name, topic, visibility: Visibility::Public } => {
            (0, Some(name), Some(topic), None)
        }
        ConversationKind::Room { name, topic, visibility: Visibility::Private } => {
            (1, Some(name), Some(topic), None)
        }
        ConversationKind::Private(pair) => (2, None, None, Some(pair.users())),
    };
    let sql = "INSERT INTO conversations
                 (id, kind, name, name_folded, topic, low, high, created_by, created_at, member_count)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0)";
    connection.prepare_cached(sql)?.execute(params![
        new.id.as_bytes(),
        kind,
        name.map(RoomName::as_str),
        name.map(|name| folded(name.as_str())),
        topic.map(Topic::as_str),
        pair.as_ref().map(|[low, _]| low.as_bytes()),
        pair.as_ref().map(|[_, high]| high.as_bytes()),
        new.created_by.as_bytes(),
        new.created_at.unix_ms(),
    ])?;
    Ok(connection.last_insert_rowid())
}

/// Changes the name or the topic of a room.
pub(crate) fn update(
    connection: &Connection,
    conversation: ConversationId,
    name: Option<&RoomName>,
    topic: Option<&Topic>,
) -> Work<()> {
    let sql = "UPDATE conversations SET name = coalesce(?2, name), name_folded = coalesce(?3, name_folded),
                 topic = coalesce(?4, topic) WHERE id = ?1 AND kind <> 2";
    connection.prepare_cached(sql)?.execute(params![
        conversation.as_bytes(),
        name.map(RoomName::as_str),
        name.map(|name| folded(name.as_str())),
        topic.map(Topic::as_str),
    ])?;
    Ok(())
}

/// Counts members who joined, or (below 0) who are joined no more.
pub(crate) fn add_members(connection: &Connection, conversation: ConversationId, more: i64) -> Work<()> {
    if more != 0 {
        let sql = "UPDATE conversations SET member_count = member_count + ?2 WHERE id = ?1";
        connection.prepare_cached(sql)?.execute(params![conversation.as_bytes(), more])?;
    }
    Ok(())
}

/// The conversation at its head.
pub(crate) fn conversation(connection: &Connection, id: ConversationId) -> Work<Option<Conversation>> {
    Ok(load(connection, id)?.map(|stored| stored.conversation))
}

/// The key of a conversation's log.
pub(crate) fn key_of(connection: &Connection, conversation: ConversationId) -> Work<Option<LogKey>> {
    let mut statement = connection.prepare_cached("SELECT key FROM conversations WHERE id = ?1")?;
    Ok(statement.query_row([conversation.as_bytes()], |row| row.get(0)).optional()?)
}

/// A page of what a list of the user's conversations shows.
pub(crate) fn my_conversations(
    connection: &Connection,
    user: UserId,
    page: MembershipPage,
) -> Work<Vec<MyConversation>> {
    let sql = "SELECT m.conversation FROM members m JOIN conversations c ON c.id = m.conversation
               WHERE m.user_id = ?1 AND m.conversation > ?2 AND m.state IN (0, 1) AND m.is_room = ?3
                 AND (c.kind = 2 OR c.member_count > 0)
               ORDER BY m.conversation LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let after = page.after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![user.as_bytes(), after, page.rooms, page.limit])?;
    let mut mine = Vec::new();
    while let Some(row) = rows.next()? {
        let (stored, member) = load_with_member(connection, get(row, 0)?, user)?;
        mine.push(as_mine(connection, stored, member)?);
    }
    Ok(mine)
}

/// A page of where the user stands.
pub(crate) fn standings(
    connection: &Connection,
    user: UserId,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<Standing>> {
    let sql = "SELECT conversation FROM members WHERE user_id = ?1 AND conversation > ?2 AND state = 0
               ORDER BY conversation LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![user.as_bytes(), after, limit])?;
    let mut standings = Vec::new();
    while let Some(row) = rows.next()? {
        let (stored, member) = load_with_member(connection, get(row, 0)?, user)?;
        standings.push(Standing { conversation: stored.conversation, member });
    }
    Ok(standings)
}

/// A page of public rooms by part of their name.
pub(crate) fn discover(connection: &Connection, query: &RoomQuery) -> Work<Vec<Conversation>> {
    let mut statement = connection.prepare_cached(DISCOVER)?;
    let after = query.after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![after, folded(&query.text), query.limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = load(connection, get(row, 0)?)?;
        found.extend(stored.map(|stored| stored.conversation));
    }
    Ok(found)
}

/// A page of all conversations.
pub(crate) fn all(
    connection: &Connection,
    after: Option<ConversationId>,
    limit: u32,
) -> Work<Vec<Conversation>> {
    let sql = select_conversations!("id > ?1 ORDER BY id LIMIT ?2");
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.as_ref().map_or(&[][..], |id| id.as_bytes());
    let mut rows = statement.query(params![after, limit])?;
    let mut conversations = Vec::new();
    while let Some(row) = rows.next()? {
        conversations.push(read_conversation(connection, row)?.conversation);
    }
    Ok(conversations)
}

fn as_mine(connection: &Connection, stored: Stored, member: Member) -> Work<MyConversation> {
    let Stored { key, conversation } = stored;
    if !member.is_joined() {
        return Ok(MyConversation { conversation, member, last_message: None, unread: Unread::Exactly(0) });
    }
    let from = match conversation.visibility() {
        Visibility::Public => Seq::ZERO,
        Visibility::Private => member.since_seq,
    };
    let last_message = log::newest_message(connection, key, conversation.id, (from, conversation.head))?;
    let unread = unread(connection, key, conversation.head, &member)?;
    Ok(MyConversation { conversation, member, last_message, unread })
}

/// Messages by others above the read position. The difference of the log's counts has the user's own among them,
/// so they are looked at one by one: until the answer need not be exact, or so many were their own that it cannot be.
fn unread(connection: &Connection, key: LogKey, head: Head, member: &Member) -> Work<Unread> {
    let after = member.read_seq.max(member.since_seq);
    let above = head.messages.saturating_sub(log::messages_upto(connection, key, after)?);
    if above == 0 {
        return Ok(Unread::Exactly(0));
    }
    let limit = above.min(2 * hard::UNREAD_EXACT);
    let stretch = Stretch { after, limit, bound: hard::UNREAD_EXACT + 1 };
    let others = log::messages_by_others(connection, key, member.user_id, stretch)?;
    if others <= hard::UNREAD_EXACT && limit == above {
        Ok(Unread::Exactly(others))
    } else {
        Ok(Unread::AtLeast(others.min(hard::UNREAD_EXACT)))
    }
}

fn load_with_member(connection: &Connection, id: ConversationId, user: UserId) -> Work<(Stored, Member)> {
    let stored = load(connection, id)?;
    let member = member::member(connection, id, user)?;
    stored.zip(member).ok_or_else(|| WorkError::damaged("a membership has no conversation"))
}

fn load(connection: &Connection, id: ConversationId) -> Work<Option<Stored>> {
    let mut statement = connection.prepare_cached(select_conversations!("id = ?1"))?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(|row| read_conversation(connection, row)).transpose()
}

/// Reads a row of [`select_conversations`] and what belongs to it.
fn read_conversation(connection: &Connection, row: &Row<'_>) -> Work<Stored> {
    let key = get(row, 0)?;
    let id = get(row, 1)?;
    let conversation = Conversation {
        id,
        kind: read_kind(row)?,
        created_by: get(row, 7)?,
        created_at: get(row, 8)?,
        head: log::head(connection, key)?,
        member_count: get(row, 9)?,
        owners: member::owners(connection, id)?,
    };
    Ok(Stored { key, conversation })
}

fn read_kind(row: &Row<'_>) -> Work<ConversationKind> {
    let visibility = match get::<i64>(row, 2)? {
        0 => Visibility::Public,
        1 => Visibility::Private,
        2 => {
            let pair = Pair::new(get(row, 5)?, get(row, 6)?);
            let pair = pair.ok_or_else(|| WorkError::damaged("a private chat of one user"))?;
            return Ok(ConversationKind::Private(pair));
        }
        other => return Err(WorkError::damaged(format!("{other} is no kind of conversation"))),
    };
    let name = RoomName::new(get::<String>(row, 3)?)?;
    let topic = Topic::new(get::<String>(row, 4)?)?;
    Ok(ConversationKind::Room { name, topic, visibility })
}

/// A name without its case, in every script. Letter by letter, so that part of a name
/// folds to part of the folded name.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::folded;

    #[test]
    fn sec_56_a_search_reads_nothing_but_its_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        crate::server::open::migrations().to_latest(&mut connection).unwrap();
        let sql = format!("EXPLAIN QUERY PLAN {}", super::DISCOVER);
        let plan: String = connection.query_row(&sql, [0, 0, 0], |row| row.get("detail")).unwrap();
        assert!(plan.starts_with("SEARCH conversations USING COVERING INDEX"), "{plan}");
    }

    #[test]
    fn case_is_folded_in_every_script() {
        assert_eq!(folded("ΟΔΟΣ Straße ЖУК 大厅"), folded("οδος STRASSE жук 大厅"));
    }
}

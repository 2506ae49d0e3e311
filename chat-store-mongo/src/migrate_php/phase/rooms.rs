//! All rooms, page by page, and with how many events their logs begin.

use chat_core::error::StoreError;
use chat_core::id::ConversationId;
use mongodb::bson::{Bson, Document};

use crate::migrate_php::engine::change::projection;
use crate::migrate_php::engine::link::{BY_ID, Link, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::phase::order::LAST_SEQ;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::id::Ids;
use crate::migrate_php::rows::room::{change, events, room};
use crate::migrate_php::rows::value::id_of;
use crate::table::schema::{ROOMS, USERS};

/// A scan of rooms with everything that [`room`] reads.
pub(crate) fn scan(link: &Link, rows: u32, after: Option<Document>) -> Scan {
    let fields = projection(&["name", "topic", "creator_id", "created_at", "participants", "visibility"]);
    let ours = ["name_folded", "owners", "entry_id", "projected_seq", "member_count", LAST_SEQ];
    let ours = ours.into_iter().map(|field| (field.to_owned(), Bson::Int32(1)));
    Scan::new(link, ROOMS, BY_ID, fields.into_iter().chain(ours).collect()).rows(rows).after(after)
}

/// Migrates all rooms, or looks what would become of them.
pub(crate) async fn migrate(work: &mut Work<'_>) -> Result<(), MigrationError> {
    let total = work.link.roughly(ROOMS).await?;
    work.tell(0, total)?;
    let users = Ids::load(&work.link, USERS).await?;
    let mut scan = scan(&work.link, work.page_rows, work.checkpoint.position.clone());
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            let Some(id) = row.get("_id").and_then(id_of) else { continue };
            let (room, notes) = room(row, id, &users);
            for (kind, text) in notes {
                work.found(kind, (ROOMS, row.get("_id")), text).await?;
            }
            if let Some(statement) = change(row, &room)?.statement() {
                work.update(ROOMS, &statement).await?;
            }
            let counts = &mut work.checkpoint.counts;
            counts.rooms += 1;
            counts.closed_rooms += u64::from(room.is_closed);
            counts.room_members += room.member_count();
        }
        work.page_done(scan.position(), work.checkpoint.counts.rooms, total).await?;
    }
}

/// With how many events the log of each room begins, by rows that were migrated.
#[derive(Debug, Default)]
pub(crate) struct RoomEvents(Vec<(ConversationId, u32)>);

impl RoomEvents {
    pub(crate) async fn load(link: &Link) -> Result<Self, MigrationError> {
        let mut scan = Scan::new(link, ROOMS, BY_ID, projection(&["member_count"]));
        let mut rooms = Vec::new();
        loop {
            let rows = scan.next().await?;
            if rows.is_empty() {
                rooms.sort_unstable();
                return Ok(Self(rooms));
            }
            for row in &rows {
                let row = crate::table::row::Row::new(ROOMS, row);
                let read = || -> Result<_, StoreError> { Ok((row.id("_id")?, row.number("member_count")?)) };
                let (id, members) = read().map_err(|_| MigrationError::Disturbed(ROOMS))?;
                let events = u32::try_from(events(members)).unwrap_or(u32::MAX);
                rooms.push((ConversationId::from_bytes(id), events));
            }
        }
    }

    /// `None` if there is no such room.
    pub(crate) fn of(&self, room: ConversationId) -> Option<u64> {
        let at = self.0.binary_search_by_key(&room, |(id, _)| *id).ok()?;
        Some(u64::from(self.0[at].1))
    }
}

//! All users, page by page: first their names are decided about, then each becomes an account.

use crate::migrate_php::engine::change::{original, projection};
use crate::migrate_php::engine::link::{BY_ID, Scan};
use crate::migrate_php::engine::work::Work;
use crate::migrate_php::report::MigrationError;
use crate::migrate_php::rows::name::{NameHashes, NameRule, Names, usable};
use crate::migrate_php::rows::user::{account, created_at};
use crate::migrate_php::rows::value::id_of;
use crate::table::schema::USERS;

/// Migrates all users, or looks what would become of them.
pub(crate) async fn migrate(work: &mut Work<'_>, rule: NameRule) -> Result<(), MigrationError> {
    let total = work.link.roughly(USERS).await?;
    work.tell(0, total)?;
    let names = decide_names(work, rule).await?;
    let fields = projection(&["username", "email", "created_at", "last_login"])
        .into_iter()
        .chain(projection(&["username_folded", "username_skeleton", "display_name", "disabled", "password"]))
        .chain(projection(&["password_hash", "last_seen", "changed"]));
    let mut scan = Scan::new(&work.link, USERS, BY_ID, fields.collect())
        .rows(work.page_rows)
        .after(work.checkpoint.position.clone());
    loop {
        let rows = scan.next().await?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            let Some(id) = row.get("_id").and_then(id_of) else { continue };
            let (change, notes) =
                account(row, id, names.of(id, usable(original(row, "username")).as_deref()));
            for (kind, text) in notes {
                work.found(kind, (USERS, row.get("_id")), text).await?;
            }
            if let Some(statement) = change.statement() {
                work.update(USERS, &statement).await?;
            }
            work.checkpoint.counts.users += 1;
        }
        work.page_done(scan.position(), work.checkpoint.counts.users, total).await?;
    }
}

/// Reads all names twice: to find those that are alike, and to decide about them.
async fn decide_names(work: &Work<'_>, rule: NameRule) -> Result<Names, MigrationError> {
    let scan = || Scan::new(&work.link, USERS, BY_ID, projection(&["username", "created_at"]));
    let mut hashes = NameHashes::new(rule);
    let mut first = scan();
    loop {
        let rows = first.next().await?;
        if rows.is_empty() {
            break;
        }
        rows.iter().for_each(|row| hashes.add(usable(original(row, "username")).as_deref()));
    }
    let mut clashes = hashes.complete();
    let mut second = scan();
    loop {
        let rows = second.next().await?;
        if rows.is_empty() {
            return Ok(clashes.decide());
        }
        for row in &rows {
            let Some(id) = row.get("_id").and_then(id_of) else { continue };
            clashes.add(id, created_at(row, id).0, usable(original(row, "username")).as_deref());
        }
    }
}

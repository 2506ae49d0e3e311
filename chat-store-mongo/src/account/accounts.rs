//! What is done to accounts: each is one row of `users` (see `table/accounts.rs`).

use chat_core::domain::DisplayName;
use chat_core::error::StoreError;
use chat_core::id::UserId;
use chat_core::port::{Account, AccountCreation, NewAccount, PasswordWrite, StoredAccount, UsernameKeys};
use chat_core::time::Timestamp;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::server::database::Database;
use crate::server::error::unknown;
use crate::server::query::{find_one, find_page};
use crate::table::accounts::{DISPLACED, new_row, read_account, read_password, read_stored_account};
use crate::table::row::{Row, date, object_id};
use crate::table::schema::USERS;

/// Rows that one command updates.
const UPDATED_AT_ONCE: usize = 1_000;
/// How often a change is tried because others were faster.
const CHANGE_ATTEMPTS: usize = 8;

/// Creates an account; see the port for the contract.
pub(crate) async fn create(database: &Database, new: &NewAccount) -> Result<AccountCreation, StoreError> {
    let insert = doc! { "insert": USERS, "documents": [new_row(new)] };
    match database.write(insert).await?.row_error {
        None => return Ok(AccountCreation::Created),
        Some(error) if error.is_duplicate() => {}
        Some(error) => return Err(error.refused(USERS)),
    }
    // The row may be this one, of an attempt or a call whose outcome was not known.
    let existing = database.row(find_one(USERS, of(new.user_id))).await.map_err(unknown)?;
    let is_same = existing.is_some_and(|row| {
        let has = |field: &str, value: &str| row.get_str(field).is_ok_and(|found| found == value);
        has("username_folded", &new.username.folded) && has("username_skeleton", &new.username.skeleton)
    });
    Ok(if is_same { AccountCreation::Created } else { AccountCreation::NameTaken })
}

/// The account of a user.
pub(crate) async fn account(database: &Database, user: UserId) -> Result<Option<Account>, StoreError> {
    database.row(find_one(USERS, of(user))).await?.as_ref().map(read_account).transpose()
}

/// The account with this name, as registered or else as folded.
pub(crate) async fn by_name(database: &Database, name: &UsernameKeys) -> Result<Option<Account>, StoreError> {
    let mut either = vec![doc! { "username": &name.text }];
    // The key of a displaced name is nobody's name, whoever types it.
    if !name.folded.starts_with(DISPLACED) {
        either.push(doc! { "username_folded": &name.folded });
    }
    let find = doc! { "find": USERS, "filter": { "$or": either }, "singleBatch": true };
    let rows = database.rows(find).await?;
    let is_exact = |row: &&Document| row.get_str("username").is_ok_and(|text| text == name.text);
    let oldest = rows.iter().filter(is_exact).min_by_key(|row| row.get_object_id("_id").ok());
    oldest.or(rows.first()).map(read_account).transpose()
}

/// The accounts of those of `users` who have one.
pub(crate) async fn accounts(database: &Database, users: &[UserId]) -> Result<Vec<Account>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<_> = users.iter().map(|user| object_id(user.as_bytes())).collect();
    let filter = doc! { "_id": { "$in": ids } };
    let rows = database.rows(find_page(USERS, filter, doc! { "_id": 1 }, users.len())).await?;
    rows.iter().map(read_account).collect()
}

/// A page of all accounts with the keys of their names.
pub(crate) async fn all(
    database: &Database,
    after: Option<UserId>,
    limit: u32,
) -> Result<Vec<StoredAccount>, StoreError> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let filter =
        after.map_or_else(Document::new, |user| doc! { "_id": { "$gt": object_id(user.as_bytes()) } });
    let rows = database.rows(find_page(USERS, filter, doc! { "_id": 1 }, limit as usize)).await?;
    rows.iter().map(read_stored_account).collect()
}

/// Replaces the password's hash if it is `expected`; answers whether it did.
pub(crate) async fn set_password(
    database: &Database,
    user: UserId,
    expected: &str,
    hash: &str,
    reason: PasswordWrite,
) -> Result<bool, StoreError> {
    if password_of(database, user).await?.as_deref() != Some(expected) {
        return Ok(false);
    }
    let is_expected = doc! { "$or": [
        { "password_hash": expected },
        { "password_hash": null, "password": expected },
    ] };
    let mut filter = of(user);
    filter.extend(is_expected);
    let mut change = doc! { "$set": { "password_hash": hash } };
    if reason == PasswordWrite::Changed {
        change.insert("$unset", doc! { "password": "" });
    }
    if update(database, filter, change).await? {
        return Ok(true);
    }
    // It was the expected one a moment ago. If it is the new one now, an attempt whose reply was lost has set it:
    // nobody else has this hash.
    let present = password_of(database, user).await.map_err(unknown)?;
    Ok(present.as_deref() == Some(hash))
}

/// Replaces the name to show.
pub(crate) async fn set_display_name(
    database: &Database,
    user: UserId,
    name: &DisplayName,
) -> Result<(), StoreError> {
    set(database, user, doc! { "display_name": name.as_str() }).await.map(drop)
}

/// Notes that a user signed in. An attempt that comes late notes a time that was right as well.
pub(crate) async fn record_login(database: &Database, user: UserId, at: Timestamp) -> Result<(), StoreError> {
    update(database, of(user), doc! { "$set": { "last_login": date(at) } }).await.map(drop)
}

/// Disables or enables an account; answers whether it exists.
pub(crate) async fn set_disabled(
    database: &Database,
    user: UserId,
    disabled: bool,
) -> Result<bool, StoreError> {
    set(database, user, doc! { "disabled": disabled }).await
}

/// Notes when users were last online, never backwards.
pub(crate) async fn record_seen(database: &Database, seen: &[(UserId, Timestamp)]) -> Result<(), StoreError> {
    for seen in seen.chunks(UPDATED_AT_ONCE) {
        let updates = seen.iter().map(|(user, at)| {
            let later = doc! { "$max": { "last_seen": date(*at) } };
            doc! { "q": of(*user), "u": later }
        });
        let updates: Vec<Document> = updates.collect();
        let reply = database.write(doc! { "update": USERS, "updates": updates, "ordered": false }).await?;
        if let Some(error) = reply.row_error {
            return Err(error.refused(USERS));
        }
    }
    Ok(())
}

/// Sets fields of an account; answers whether it exists. Each change leaves a mark of its own in `changed` and wants to
/// find the one that it has seen: so an attempt that nobody waits for any more undoes nothing newer when it comes.
async fn set(database: &Database, user: UserId, mut fields: Document) -> Result<bool, StoreError> {
    let mark = ObjectId::new();
    fields.insert("changed", mark);
    let mut find = find_one(USERS, of(user));
    find.insert("projection", doc! { "changed": 1 });
    for attempt in 0..CHANGE_ATTEMPTS {
        let row = database.row(find.clone()).await;
        let row = if attempt == 0 { row? } else { row.map_err(unknown)? };
        let Some(row) = row else { return Ok(false) };
        let seen = row.get("changed").cloned().unwrap_or(Bson::Null);
        // An attempt whose reply was lost.
        if seen == Bson::ObjectId(mark) {
            return Ok(true);
        }
        let mut filter = of(user);
        filter.insert("changed", seen);
        if update(database, filter, doc! { "$set": &fields }).await? {
            return Ok(true);
        }
    }
    Err(StoreError::timeout("an account is changed too often at once"))
}

/// Changes the row that `filter` describes; answers whether there is one.
async fn update(database: &Database, filter: Document, change: Document) -> Result<bool, StoreError> {
    let update = doc! { "q": filter, "u": change };
    let reply = database.write(doc! { "update": USERS, "updates": [update] }).await?;
    match reply.row_error {
        None => Ok(reply.matched == 1),
        Some(error) => Err(error.refused(USERS)),
    }
}

/// The hash that counts; `None` if there is no such user.
async fn password_of(database: &Database, user: UserId) -> Result<Option<String>, StoreError> {
    let mut find = find_one(USERS, of(user));
    find.insert("projection", doc! { "password_hash": 1, "password": 1 });
    let row = database.row(find).await?;
    row.as_ref().map(|row| read_password(Row::new(USERS, row))).transpose()
}

fn of(user: UserId) -> Document {
    doc! { "_id": object_id(user.as_bytes()) }
}

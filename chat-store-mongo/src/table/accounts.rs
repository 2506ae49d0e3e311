//! Accounts as rows of `users`.
//!
//! An account that was migrated has the PHP chat's hash in `password`, and no `password_hash` until its owner
//! signs in here for the first time. What counts is `password_hash`, else `password`. The older field stays while it
//! is the same password, so that going back stays possible.
//!
//! Migrated names may fold or look the same. The oldest account has the keys then; the others have keys that no
//! name has (see [`DISPLACED`]) and are found by their exact name only.

use chat_core::domain::{DisplayName, Email};
use chat_core::error::StoreError;
use chat_core::id::UserId;
use chat_core::port::{Account, NewAccount, StoredAccount, UsernameKeys};
use mongodb::bson::{Document, doc};

use crate::table::row::{Row, date, object_id};
use crate::table::schema::USERS;

/// What stands before the name in the keys of a displaced name; folding never leaves it in a name.
pub(crate) const DISPLACED: char = '\u{1}';

/// The row of a new account.
pub(crate) fn new_row(new: &NewAccount) -> Document {
    let mut row = doc! {
        "_id": object_id(new.user_id.as_bytes()),
        "username": &new.username.text,
        "username_folded": &new.username.folded,
        "username_skeleton": &new.username.skeleton,
        "display_name": new.display_name.as_str(),
        "password_hash": &new.password_hash,
        "disabled": false,
        "created_at": date(new.created_at),
    };
    if let Some(email) = &new.email {
        row.insert("email", email.as_str());
    }
    row
}

/// The account of a row.
pub(crate) fn read_account(fields: &Document) -> Result<Account, StoreError> {
    let row = Row::new(USERS, fields);
    Ok(Account {
        user_id: UserId::from_bytes(row.id("_id")?),
        username: row.text("username")?.to_owned(),
        display_name: row.required("display_name", |name| DisplayName::from_stored(name.as_str()?).ok())?,
        // The PHP chat took every text. What is no address stays in the row and locks nobody out.
        email: row.optional_text("email")?.and_then(|text| Email::new(text).ok()),
        password_hash: read_password(row)?,
        disabled: row.flag("disabled")?,
        created_at: row.time("created_at")?,
        last_login: row.optional_time("last_login")?,
        last_seen: row.optional_time("last_seen")?,
    })
}

/// The account of a row, with the keys of its name.
pub(crate) fn read_stored_account(fields: &Document) -> Result<StoredAccount, StoreError> {
    let row = Row::new(USERS, fields);
    let account = read_account(fields)?;
    let username = UsernameKeys {
        text: account.username.clone(),
        folded: row.text("username_folded")?.to_owned(),
        skeleton: row.text("username_skeleton")?.to_owned(),
    };
    Ok(StoredAccount { account, username })
}

/// The hash that counts.
pub(crate) fn read_password(row: Row<'_>) -> Result<String, StoreError> {
    match row.optional_text("password_hash")? {
        Some(hash) => Ok(hash.to_owned()),
        None => row.text("password").map(str::to_owned).map_err(|_| row.damaged("password_hash")),
    }
}

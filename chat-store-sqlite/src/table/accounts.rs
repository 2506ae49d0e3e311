//! The table `accounts`.

use chat_core::domain::{DisplayName, Email};
use chat_core::id::UserId;
use chat_core::port::{Account, NewAccount, StoredAccount, UsernameKeys};
use chat_core::time::Timestamp;
use rusqlite::{Connection, Params, Row, params};

use super::column::get;
use crate::error::Work;

macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "SELECT user_id, username, display_name, email, password_hash, disabled, created_at, last_login, \
             last_seen, name_folded, name_skeleton FROM accounts WHERE ",
            $rest
        )
    };
}

/// Adds an account unless its id or a key of its name is there; answers whether it was added.
pub(crate) fn insert(connection: &Connection, new: &NewAccount) -> Work<bool> {
    let sql = "INSERT INTO accounts (user_id, username, name_folded, name_skeleton, display_name, email,
                 password_hash, disabled, created_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, FALSE, ?8) ON CONFLICT DO NOTHING";
    let inserted = connection.prepare_cached(sql)?.execute(params![
        new.user_id.as_bytes(),
        new.username.text,
        new.username.folded,
        new.username.skeleton,
        new.display_name.as_str(),
        new.email.as_ref().map(Email::as_str),
        new.password_hash,
        new.created_at.unix_ms(),
    ])?;
    Ok(inserted == 1)
}

/// Whether there is an account with this id and these keys.
pub(crate) fn has(connection: &Connection, new: &NewAccount) -> Work<bool> {
    let sql = "SELECT 1 FROM accounts WHERE user_id = ?1 AND name_folded = ?2 AND name_skeleton = ?3";
    let keys = params![new.user_id.as_bytes(), new.username.folded, new.username.skeleton];
    Ok(connection.prepare_cached(sql)?.exists(keys)?)
}

/// The account of a user.
pub(crate) fn account(connection: &Connection, user: UserId) -> Work<Option<Account>> {
    find(connection, select_accounts!("user_id = ?1"), [user.as_bytes()])
}

/// The account that was registered with exactly this name; the oldest, should there be several.
pub(crate) fn by_username(connection: &Connection, username: &str) -> Work<Option<Account>> {
    find(connection, select_accounts!("username = ?1 ORDER BY user_id LIMIT 1"), [username])
}

/// The account whose name is this when it is folded.
pub(crate) fn by_folded_name(connection: &Connection, folded: &str) -> Work<Option<Account>> {
    find(connection, select_accounts!("name_folded = ?1"), [folded])
}

/// A page of all, by id, with the keys of their names.
pub(crate) fn page(connection: &Connection, after: Option<UserId>, limit: u32) -> Work<Vec<StoredAccount>> {
    let sql = select_accounts!("user_id > ?1 ORDER BY user_id LIMIT ?2");
    let mut statement = connection.prepare_cached(sql)?;
    let after = after.as_ref().map_or(&[][..], |user| user.as_bytes());
    let mut rows = statement.query(params![after, limit])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        let account = read_account(row)?;
        let text = account.username.clone();
        let username = UsernameKeys { text, folded: get(row, 9)?, skeleton: get(row, 10)? };
        accounts.push(StoredAccount { account, username });
    }
    Ok(accounts)
}

fn find(connection: &Connection, sql: &'static str, key: impl Params) -> Work<Option<Account>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(key)?;
    rows.next()?.map(read_account).transpose()
}

/// Replaces the password's hash if it is `expected`.
pub(crate) fn set_password(connection: &Connection, user: UserId, expected: &str, hash: &str) -> Work<bool> {
    let sql = "UPDATE accounts SET password_hash = ?3 WHERE user_id = ?1 AND password_hash = ?2";
    Ok(connection.prepare_cached(sql)?.execute(params![user.as_bytes(), expected, hash])? == 1)
}

pub(crate) fn set_display_name(connection: &Connection, user: UserId, name: &DisplayName) -> Work<()> {
    let sql = "UPDATE accounts SET display_name = ?2 WHERE user_id = ?1";
    connection.prepare_cached(sql)?.execute(params![user.as_bytes(), name.as_str()])?;
    Ok(())
}

pub(crate) fn record_login(connection: &Connection, user: UserId, at: Timestamp) -> Work<()> {
    let sql = "UPDATE accounts SET last_login = ?2 WHERE user_id = ?1";
    connection.prepare_cached(sql)?.execute(params![user.as_bytes(), at.unix_ms()])?;
    Ok(())
}

/// Notes when users were last online, never backwards.
pub(crate) fn record_seen(connection: &Connection, seen: &[(UserId, Timestamp)]) -> Work<()> {
    let sql = "UPDATE accounts SET last_seen = max(?2, coalesce(last_seen, ?2)) WHERE user_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    for (user, at) in seen {
        statement.execute(params![user.as_bytes(), at.unix_ms()])?;
    }
    Ok(())
}

/// Disables or enables an account; answers whether it exists.
pub(crate) fn set_disabled(connection: &Connection, user: UserId, disabled: bool) -> Work<bool> {
    let sql = "UPDATE accounts SET disabled = ?2 WHERE user_id = ?1";
    Ok(connection.prepare_cached(sql)?.execute(params![user.as_bytes(), disabled])? == 1)
}

/// Reads a row of [`select_accounts`].
fn read_account(row: &Row<'_>) -> Work<Account> {
    Ok(Account {
        user_id: get(row, 0)?,
        username: get(row, 1)?,
        display_name: DisplayName::from_stored(get::<String>(row, 2)?)?,
        email: get::<Option<String>>(row, 3)?.map(Email::new).transpose()?,
        password_hash: get(row, 4)?,
        disabled: get(row, 5)?,
        created_at: get(row, 6)?,
        last_login: get(row, 7)?,
        last_seen: get(row, 8)?,
    })
}

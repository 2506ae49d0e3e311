//! Creating accounts and finding them by their names.

use chat_core::id::UserId;
use chat_core::port::{Account, AccountCreation, NewAccount, UsernameKeys};
use rusqlite::Connection;

use crate::error::Work;
use crate::table::accounts;

/// Creates an account; see the port for the contract.
pub(crate) fn create(connection: &Connection, new: &NewAccount) -> Work<AccountCreation> {
    // It may be there already, by an earlier call whose outcome was not known.
    if accounts::insert(connection, new)? || accounts::has(connection, new)? {
        Ok(AccountCreation::Created)
    } else {
        Ok(AccountCreation::NameTaken)
    }
}

/// The account with this name, as registered or else as folded.
pub(crate) fn by_name(connection: &Connection, name: &UsernameKeys) -> Work<Option<Account>> {
    match accounts::by_username(connection, &name.text)? {
        Some(account) => Ok(Some(account)),
        None => accounts::by_folded_name(connection, &name.folded),
    }
}

/// The accounts of those of `users` who have one.
pub(crate) fn accounts(connection: &Connection, users: &[UserId]) -> Work<Vec<Account>> {
    let accounts = users.iter().filter_map(|user| accounts::account(connection, *user).transpose());
    accounts.collect()
}

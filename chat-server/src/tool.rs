//! What operators do with a store, also while a server has it open.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::port::Auth;
use chat_core::time::SystemClock;
use chat_store_sqlite::MaintenanceError;

use crate::config::{Config, StoreKind};
use crate::exit::{self, Code, Failure};
use crate::stores::{self, Access};

/// Copies the store to `file`, which must not exist.
///
/// # Errors
/// There is no store, it is damaged, or the file cannot be written.
pub(crate) async fn backup(config: &Config, file: PathBuf) -> Result<(), Failure> {
    let refusal = match config.store {
        StoreKind::Sqlite => None,
        StoreKind::Mongodb => {
            Some("MongoDB is backed up by its own tool: mongodump, as docs/operations.md shows")
        }
        StoreKind::Memory => Some("the store memory keeps nothing that could be backed up"),
    };
    if let Some(message) = refusal {
        return Err(Failure::new(Code::Usage, message));
    }
    let store = stores::open_sqlite_beside(config).await?;
    store.backup(&file).await.map_err(|error| {
        let code = match &error {
            MaintenanceError::Exists(_)
            | MaintenanceError::OfTheDatabase(_)
            | MaintenanceError::Io { .. } => Code::CannotCreate,
            MaintenanceError::Damaged { .. } => Code::DataError,
            _ => Code::InputOutput,
        };
        Failure::new(code, format!("{:#}", anyhow::Error::from(error)))
    })?;
    exit::print(&format!("{} is a complete backup\n", file.display()))
}

/// Disables or enables the account called `name`. A server that runs ends its sessions with its next look.
///
/// # Errors
/// There is no store or no such account.
pub(crate) async fn user(config: &Config, name: &str, disabled: bool) -> Result<(), Failure> {
    let accounts = stores::open(config, Access::Beside).await?.accounts;
    let auth = PasswordAuth::new(accounts, Arc::new(SystemClock), AuthSettings::default());
    let auth = auth.context("the settings of accounts do not fit together")?;
    let found = auth.find_user(name).await.context("the accounts cannot be read")?;
    let user = found.ok_or_else(|| Failure::new(Code::NoUser, format!("there is no user {name}")))?;
    let ended = auth.set_disabled(user, disabled).await.context("the account cannot be changed")?;
    let what = if disabled {
        format!("{name} is disabled; sessions ended: {}", ended.len())
    } else {
        format!("{name} is enabled")
    };
    exit::print(&(what + "\n"))
}

/// Begins a new epoch, so that clients drop what they remember of a history that is gone. The server must not run.
///
/// # Errors
/// There is no store, it is in use, or it cannot be written.
pub(crate) async fn epoch(config: &Config) -> Result<(), Failure> {
    // Only a store that is there has an epoch; the other way of opening would make one.
    stores::open(config, Access::Beside).await?.close().await;
    let stores = stores::open(config, Access::Whole).await?;
    let epoch = stores.begin_epoch().await?;
    stores.close().await;
    exit::print(&format!("the epoch is now {epoch}: clients that come back load everything anew\n"))
}

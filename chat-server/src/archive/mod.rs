//! Moving between stores: `export` writes everything but sessions to one file, `import` puts
//! such a file into an empty store. Both know the stores by their ports alone.
//!
//! An archive is text, one JSON object on each line: a header, the accounts, then each
//! conversation with its entries and read positions, and a last line that counts and hashes
//! all before it. Neither side ever holds more than some pages of it.

mod batches;
mod check;
mod checksum;
mod export;
mod format;
mod import;
mod pages;
mod present;
mod progress;
mod source;
mod verify;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::config::{Config, StoreKind};
use crate::exit::{self, Code, Failure};
use crate::stores::{self, Access, Stores};
use export::Broken;
use format::{Counts, End};
use progress::Progress;
use source::Source;

/// Writes everything in the store to `path`, which must not exist; `-` is standard output.
///
/// # Errors
/// The store cannot be opened or read, contradicts itself, or the file cannot be written.
pub(crate) async fn export(config: &Config, path: &Path) -> Result<(), Failure> {
    let stores = stores::open(config, Access::Beside).await?;
    let progress = Progress::new("exporting", None);
    if path == Path::new("-") {
        let written = progress.show(export::write(&stores, io::stdout(), &progress)).await;
        let (end, _) = written.map_err(Broken::of_standard_output)?;
        tracing::info!("{}", summary(&end));
        return Ok(());
    }
    let name = path.display().to_string();
    let written = progress.show(export::write(&stores, create(path)?, &progress)).await;
    let synced = written.and_then(|(end, file)| file.sync_all().map_err(Broken::Output).map(|()| end));
    let end = synced.map_err(|broken| {
        // A part of an archive is of no use, and would be in the way of the next attempt.
        let removed = std::fs::remove_file(path);
        removed
            .err()
            .inspect(|error| tracing::warn!(%error, "{name} is not complete and could not be removed"));
        broken.of(&name)
    })?;
    exit::print(&format!("{name}: {}\n", summary(&end)))
}

/// Puts the archive at `path` into the store, which must be empty or have a part of the same archive; `-` is
/// standard input. Nothing is written before the archive was read to its end and found whole.
///
/// # Errors
/// The archive is damaged, the store cannot be opened or has other data, or fails.
pub(crate) async fn import(config: &Config, path: &Path) -> Result<(), Failure> {
    if config.store == StoreKind::Memory {
        let message = "the store memory forgets everything when this command ends: import into another";
        return Err(Failure::new(Code::Usage, message));
    }
    let (source, end) = verified(path).await?;
    let stores = stores::open(config, Access::Whole).await?;
    let name = source.name().to_owned();
    tokio::select! {
        done = put(&stores, source, &end) => done?,
        reason = stores.failed() => return Err(Failure::new(Code::InputOutput, reason)),
    }
    exit::print(&format!("{name}: {}; the store has all of it\n", summary(&end)))
}

/// The archive at `path`, read to its end.
async fn verified(path: &Path) -> Result<(Source, End), Failure> {
    let progress = Arc::new(Progress::new("reading the archive", None));
    let (path, seen) = (path.to_owned(), Arc::clone(&progress));
    let reading = tokio::task::spawn_blocking(move || {
        let source = Source::open(&path)?;
        let end = verify::verify(&source, &seen)?;
        Ok((source, end))
    });
    progress.show(reading).await.map_err(anyhow::Error::from)?
}

/// Writes what the store does not have yet, and compares the store with the archive.
async fn put(stores: &Stores, source: Source, end: &End) -> Result<(), Failure> {
    let is_begun = present::check(stores, &source).await?;
    if is_begun {
        tracing::info!("a part of the archive is in the store already: going on");
    }
    let progress = Arc::new(Progress::new("importing", Some(end.counts)));
    progress.show(import::write(stores, &source, is_begun, &progress)).await?;
    let progress = Progress::new("comparing", Some(end.counts));
    progress.show(import::compare(stores, &source, end, &progress)).await
}

/// Makes a file that only its owner may read.
fn create(path: &Path) -> Result<File, Failure> {
    let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    created.map_err(|error| {
        let name = path.display();
        let message = match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{name} exists already; export replaces no file"),
            _ => format!("cannot make {name}: {error}"),
        };
        Failure::new(Code::CannotCreate, message)
    })
}

fn summary(End { counts, sha256 }: &End) -> String {
    let Counts { accounts, conversations, entries, read_positions } = counts;
    format!(
        "accounts {accounts}, conversations {conversations}, entries {entries}, read positions {read_positions}, \
         sha256 {sha256}"
    )
}

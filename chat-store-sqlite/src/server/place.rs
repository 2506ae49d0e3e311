//! Where the files of a database are.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// What stands behind the name of a database in the names of the files that belong to it.
const SUFFIXES: [&str; 5] = ["", "-wal", "-shm", "-journal", LOCK];
/// The same for the lock.
pub(crate) const LOCK: &str = ".lock";

/// The one path of a database, whatever links lead to it; the file may be missing. SQLite keeps the write-ahead log
/// beside this path, and so is the lock: two processes that come by different links meet there.
///
/// # Errors
/// Its directory is missing, or the file has several names of equal standing: each would have a log of its own.
pub(crate) fn real_path(path: &Path) -> Result<PathBuf, OpenError> {
    let real = resolved(path).map_err(|source| OpenError::Io { path: path.into(), source })?;
    match fs::metadata(&real) {
        Ok(found) if names(&found) > 1 => Err(OpenError::SeveralNames { path: real }),
        Ok(_) | Err(_) => Ok(real), // a file that cannot be looked at is refused when it is opened
    }
}

/// An absolute path without links; the last part may be missing, unless it is a link itself.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match path.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            let name = path.file_name().ok_or(error)?;
            let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
            Ok(directory.unwrap_or(Path::new(".")).canonicalize()?.join(name))
        }
        found => found,
    }
}

/// Whether the database with this real path calls one of its files so.
pub(crate) fn belongs_to(database: &Path, path: &Path) -> bool {
    SUFFIXES.iter().any(|suffix| beside(database, suffix) == path)
}

#[cfg(unix)]
fn names(file: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
fn names(_: &fs::Metadata) -> u64 {
    1
}

/// `path` with `suffix` behind its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a file for reading and writing; if that creates it, only this user may read it.
pub(crate) fn private_file(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.read(true).write(true).open(path)
}

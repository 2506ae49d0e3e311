//! What an operator may choose. Every field has a default but the path.

use std::path::PathBuf;
use std::time::Duration;

/// What an acknowledged write survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// The end of the process, of the operating system and of the power:
    /// every commit is on the disk before it is acknowledged (`synchronous=FULL`).
    #[default]
    SurvivesPowerLoss,
    /// Only the end of the process. After a power cut or a crash of the operating system the
    /// last acknowledged writes may be gone, though the file is sound (`synchronous=NORMAL`).
    LosesWritesOnPowerLoss,
}

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file; its directory must exist. Beside it lie `…-wal` and `…-shm` (part of
    /// the database while it is open) and `….lock`; where this is a symbolic link, beside the file itself.
    pub path: PathBuf,
    /// What an acknowledged write survives.
    pub durability: Durability,
    /// Reads at a time, each on a connection of its own; at least 1.
    pub readers: usize,
    /// How long to wait for another program (a shell, a backup tool) that holds the file's write lock.
    pub busy_timeout: Duration,
    /// KiB of pages that the writer keeps in memory.
    pub writer_cache_kib: u32,
    /// KiB of pages that each reader keeps in memory.
    pub reader_cache_kib: u32,
}

impl SqliteConfig {
    /// The defaults with this database file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            writer_cache_kib: 16 * 1_024,
            reader_cache_kib: 4 * 1_024,
        }
    }
}

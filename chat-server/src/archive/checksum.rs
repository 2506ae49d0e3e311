//! The checksum of an archive: SHA-256 over everything before its last line.

use std::io::{self, Write};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Hashes what was read or written so far.
#[derive(Clone, Default)]
pub(super) struct Checksum(Sha256);

impl Checksum {
    /// These bytes follow.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far, in hexadecimal.
    pub(super) fn hex(&self) -> String {
        HEXLOWER.encode(&self.0.clone().finalize())
    }
}

/// Hashes what passes on its way to `to`.
pub(super) struct Hashing<W> {
    pub(super) to: W,
    checksum: Checksum,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, checksum: Checksum::default() }
    }

    /// The checksum of what has passed so far.
    pub(super) fn hex(&self) -> String {
        self.checksum.hex()
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.checksum.update(bytes.get(..written).unwrap_or(bytes));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

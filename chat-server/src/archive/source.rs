//! An archive that is read: the file, or standard input in a file of its own, line by line
//! from wherever.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use crate::exit::{Code, Failure};

/// What is read from the file at once.
const BUFFER_BYTES: usize = 256 * 1_024;
/// The longest line that is read: the owners of a room, whose list is the longest value, may be as many as its members.
const LINE_BYTES: u64 = 16 * 1_024 * 1_024;

/// An archive that can be read more than once. Clones are the same file.
#[derive(Debug, Clone)]
pub(super) struct Source {
    file: Arc<File>,
    name: Arc<str>,
}

impl Source {
    /// Opens the archive at `path`; `-` is standard input. What cannot be read twice is copied to a file without a name first.
    ///
    /// # Errors
    /// It is not there, or cannot be read or copied.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Self::spool(io::stdin().lock(), "standard input");
        }
        let name = path.display().to_string();
        let unreadable = |error| Failure::new(Code::NoInput, format!("cannot read {name}: {error}"));
        let file = File::open(path).map_err(unreadable)?;
        let kind = file.metadata().map_err(unreadable)?.file_type();
        if kind.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        if kind.is_file() {
            return Ok(Self { file: Arc::new(file), name: name.into() });
        }
        Self::spool(file, &name)
    }

    fn spool(mut from: impl Read, name: &str) -> Result<Self, Failure> {
        let directory = std::env::temp_dir();
        let failed = |error| {
            let message = format!("cannot keep {name} in {} (TMPDIR): {error}", directory.display());
            Failure::new(Code::CannotCreate, message)
        };
        let mut file = tempfile::tempfile_in(&directory).map_err(failed)?;
        io::copy(&mut from, &mut file).and_then(|_| file.seek(SeekFrom::Start(0))).map_err(failed)?;
        Ok(Self { file: Arc::new(file), name: name.into() })
    }

    /// The archive's name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The lines from `at` on.
    pub(super) fn lines(&self, at: Place) -> Lines {
        let part = Part { file: Arc::clone(&self.file), offset: at.offset };
        Lines { source: self.clone(), reader: BufReader::with_capacity(BUFFER_BYTES, part), next: at }
    }

    /// All its bytes.
    pub(super) fn bytes(&self) -> Part {
        Part { file: Arc::clone(&self.file), offset: 0 }
    }

    /// A line that is not as it must be.
    pub(super) fn damaged(&self, line: u64, what: &str) -> Failure {
        Failure::new(Code::DataError, format!("{}, line {line}: {what}", self.name))
    }

    /// The archive cannot be read on.
    pub(super) fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(Code::InputOutput, format!("cannot read {}: {error}", self.name))
    }
}

/// The beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    offset: u64,
    /// The number of the line, from 1.
    pub(super) line: u64,
}

impl Place {
    /// The first line.
    pub(super) const START: Self = Self { offset: 0, line: 1 };
}

/// The lines of an archive from somewhere on.
#[derive(Debug)]
pub(super) struct Lines {
    source: Source,
    reader: BufReader<Part>,
    next: Place,
}

impl Lines {
    /// Reads the next line into `to`, without its line feed, and answers where it begins; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read, or ends within the line, or the line is longer than any can be.
    pub(super) fn read(&mut self, to: &mut Vec<u8>) -> Result<Option<Place>, Failure> {
        to.clear();
        let read = self.reader.by_ref().take(LINE_BYTES).read_until(b'\n', to);
        let bytes = read.map_err(|error| self.source.unreadable(&error))?;
        let place = self.next;
        if bytes == 0 {
            return Ok(None);
        }
        if to.pop_if(|last| *last == b'\n').is_none() {
            let what = if bytes as u64 == LINE_BYTES {
                "the line is too long"
            } else {
                "the archive ends within this line"
            };
            return Err(self.source.damaged(place.line, what));
        }
        self.next = Place { offset: place.offset + bytes as u64, line: place.line + 1 };
        Ok(Some(place))
    }

    /// Where the next line begins.
    pub(super) fn place(&self) -> Place {
        self.next
    }

    /// The archive that they are of.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }
}

/// The bytes of a file from an offset on. Many may read one file.
#[derive(Debug)]
pub(super) struct Part {
    file: Arc<File>,
    offset: u64,
}

impl Read for Part {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(to, self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

//! Reads an archive to its end before anything of it is used.

use super::check::Checker;
use super::checksum::Checksum;
use super::format::{self, End, Line};
use super::progress::Progress;
use super::source::{Place, Source};
use crate::exit::Failure;

/// Reads all of an archive and answers its last line. Blocks meanwhile.
///
/// # Errors
/// Names the first line that is not as it must be.
pub(super) fn verify(source: &Source, progress: &Progress) -> Result<End, Failure> {
    let mut lines = source.lines(Place::START);
    let (mut checker, mut checksum) = (Checker::default(), Checksum::default());
    let mut text = Vec::new();
    while let Some(place) = lines.read(&mut text)? {
        let damaged = |what: String| source.damaged(place.line, &what);
        if place == Place::START {
            format::check_header(&text).map_err(damaged)?;
        } else {
            let line = Line::decode(&text).map_err(damaged)?;
            if let Line::End(end) = line {
                let counts = checker.finish().map_err(damaged)?;
                compare(&end, &End { counts, sha256: checksum.hex() }).map_err(damaged)?;
                return match lines.read(&mut text)? {
                    None => Ok(end),
                    Some(place) => Err(source.damaged(place.line, "nothing may follow the last line")),
                };
            }
            add(&mut checker, line, progress).map_err(damaged)?;
        }
        checksum.update(&text);
        checksum.update(b"\n");
    }
    Err(source.damaged(lines.place().line, "the archive ends before its last line: it is not complete"))
}

fn add(checker: &mut Checker, line: Line, progress: &Progress) -> Result<(), String> {
    match line {
        Line::Account(stored) => {
            checker.account(&stored)?;
            progress.add_accounts(1);
        }
        Line::Conversation(conversation) => {
            checker.conversation(&conversation)?;
            progress.add_conversations(1);
        }
        Line::Entry { seq, draft } => {
            let entry = checker.place(seq, draft)?;
            checker.entry(&entry)?;
            progress.add_entries(1);
        }
        Line::Read(read) => checker.read(read)?,
        Line::End(_) => {}
    }
    Ok(())
}

fn compare(said: &End, found: &End) -> Result<(), String> {
    if said.counts != found.counts {
        return Err(format!(
            "the lines are not as many as it says: {:?}, found {:?}",
            said.counts, found.counts
        ));
    }
    if said.sha256 != found.sha256 {
        return Err("the checksum is wrong: the archive was changed after it was written".to_owned());
    }
    Ok(())
}

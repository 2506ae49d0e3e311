//! Texts of the PHP chat made fit for today's rules: names to show, and contents.

use chat_core::domain::{Content, DisplayName, RoomName};
use chat_core::limits::hard;
use mongodb::bson::Bson;

use crate::migrate_php::report::FindingKind;

/// What takes the place of a control character.
const REPLACEMENT: char = '\u{FFFD}';
/// What a message says that said nothing.
pub(crate) const EMPTY: &str = "(empty message)";

/// A name to show that is as much as possible like `name`; `otherwise` if nothing of it can be shown.
pub(crate) fn fit_display_name(name: &str, otherwise: &str) -> String {
    fit_line(name, hard::DISPLAY_NAME_CHARACTERS, |text| DisplayName::new(text).map(String::from).ok())
        .unwrap_or_else(|| otherwise.to_owned())
}

/// A room's name that is as much as possible like `name`; `otherwise` if nothing of it can be shown.
pub(crate) fn fit_room_name(name: &str, otherwise: &str) -> String {
    fit_line(name, hard::ROOM_NAME_CHARACTERS, |text| RoomName::new(text).map(String::from).ok())
        .unwrap_or_else(|| otherwise.to_owned())
}

/// The text if `check` takes it, else what is left of it without what names must not contain.
fn fit_line(text: &str, characters: usize, check: impl Fn(&str) -> Option<String>) -> Option<String> {
    let allowed = |c: char| !is_direction(c);
    let plain = |c: char| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c };
    let line: String = text.chars().filter(|c| allowed(*c)).map(plain).collect();
    // Composition may make a text longer, so half of it is tried as well.
    let lengths = [characters, characters / 2, characters / 4].into_iter();
    let shorter = lengths.filter_map(|length| {
        let text: String = line.trim().chars().take(length).collect();
        check(&text)
    });
    check(text).into_iter().chain(shorter).next()
}

/// Characters that change the writing direction of what stands beside them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// What becomes of a message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fitted {
    /// At least one text; more if it is too long for one entry.
    pub(crate) parts: Vec<String>,
    /// What had to be done to it.
    pub(crate) notes: Vec<(FindingKind, String)>,
}

/// A content that can be delivered; `None` if this one can be, as it is.
pub(crate) fn fit_content(content: Option<&Bson>) -> Option<Fitted> {
    let mut notes = Vec::new();
    let mut text = match content {
        Some(Bson::String(text)) if is_fit(text) => return None,
        Some(Bson::String(text)) => text.clone(),
        None | Some(Bson::Null | Bson::Undefined) => String::new(),
        Some(other) => {
            let text = format!("is a {:?} and no text; it is written as one", other.element_type());
            notes.push((FindingKind::ContentNoText, text));
            written_out(other)
        }
    };
    let controls = text.chars().filter(|c| is_forbidden(*c)).count();
    if controls > 0 {
        text = text.chars().map(|c| if is_forbidden(c) { REPLACEMENT } else { c }).collect();
        notes.push((
            FindingKind::ContentControls,
            format!("has {controls} control characters; each becomes U+FFFD"),
        ));
    }
    if text.is_empty() {
        text = EMPTY.to_owned();
        notes.push((FindingKind::ContentEmpty, format!("says nothing; becomes {EMPTY:?}")));
    }
    let bytes = text.len();
    let parts = split(text);
    if parts.len() > 1 {
        let text = format!("has {bytes} bytes, more than an entry takes; becomes {} entries", parts.len());
        notes.push((FindingKind::ContentSplit, text));
    }
    Some(Fitted { parts, notes })
}

/// Whether [`Content::new`] takes it; without making one.
fn is_fit(text: &str) -> bool {
    !text.is_empty() && text.len() <= hard::CONTENT_BYTES && !text.chars().any(is_forbidden)
}

fn is_forbidden(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\r' | '\t')
}

/// Texts of at most the bytes of a content that are the whole one after the other.
fn split(text: String) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while rest.len() > hard::CONTENT_BYTES {
        let (part, after) = rest.split_at(rest.floor_char_boundary(hard::CONTENT_BYTES));
        parts.push(part.to_owned());
        rest = after;
    }
    parts.push(rest.to_owned());
    debug_assert!(parts.iter().all(|part| Content::new(part.as_str()).is_ok()));
    parts
}

/// A value that is no text, as a person would write it.
fn written_out(value: &Bson) -> String {
    match value {
        Bson::Array(values) => format!("[{}]", joined(values.iter().map(written_out))),
        Bson::Document(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name:?}: {}", written_out(value)));
            format!("{{{}}}", joined(fields))
        }
        Bson::String(text) => format!("{text:?}"),
        Bson::Null | Bson::Undefined => "null".to_owned(),
        Bson::Boolean(value) => value.to_string(),
        Bson::Int32(value) => value.to_string(),
        Bson::Int64(value) => value.to_string(),
        Bson::Double(value) => value.to_string(),
        Bson::ObjectId(id) => id.to_hex(),
        Bson::Binary(binary) => String::from_utf8_lossy(&binary.bytes).into_owned(),
        other => other.to_string(),
    }
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn parts(content: impl Into<Bson>) -> Vec<String> {
        fit_content(Some(&content.into())).expect("it needs a change").parts
    }

    #[test]
    fn contents_that_are_fit_stay() {
        for text in ["x", " ", "a\n\tb\r\n", "\u{202E}x", "👩‍👩‍👧", &"字".repeat(2_730)] {
            assert_eq!(fit_content(Some(&Bson::String((*text).to_owned()))), None);
            assert!(Content::new(text).is_ok());
        }
    }

    #[test]
    fn long_contents_are_split_between_characters_and_nothing_is_lost() {
        for text in ["x".repeat(8_193), "字".repeat(10_000), "👩‍👩‍👧".repeat(3_000)] {
            let parts = parts(text.as_str());
            assert!(parts.len() > 1 && parts.iter().all(|part| Content::new(part.as_str()).is_ok()));
            assert_eq!(parts.concat(), text);
        }
    }

    #[test]
    fn what_cannot_be_delivered_is_made_visible() {
        assert_eq!(parts("a\0b\u{1b}[31m\u{85}"), ["a\u{FFFD}b\u{FFFD}[31m\u{FFFD}"]);
        assert_eq!(parts(""), [EMPTY]);
        assert_eq!(fit_content(None).unwrap().parts, [EMPTY]);
        assert_eq!(parts(42), ["42"]);
        assert_eq!(
            parts(doc! { "url": "a.png", "size": [1, 2.5, null] }),
            [r#"{"url": "a.png", "size": [1, 2.5, null]}"#]
        );
    }

    #[test]
    fn a_content_can_have_several_faults_at_once() {
        let fitted = fit_content(Some(&Bson::String("\0".repeat(8_000)))).unwrap();
        let kinds: Vec<FindingKind> = fitted.notes.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [FindingKind::ContentControls, FindingKind::ContentSplit]);
        assert_eq!(fitted.parts.concat(), "\u{FFFD}".repeat(8_000));
    }

    #[test]
    fn names_keep_what_can_be_shown_of_them() {
        assert_eq!(fit_room_name("Garden", "room"), "Garden");
        assert_eq!(fit_room_name("  two\nlines ", "room"), "two lines");
        assert_eq!(fit_room_name("two\u{2028}lines", "room"), "two lines");
        assert_eq!(fit_room_name(&"字".repeat(150), "room"), "字".repeat(100));
        for nothing in ["", "   ", "\u{200B}", "\u{202E}", "\0"] {
            assert_eq!(fit_room_name(nothing, "room"), "room", "{nothing:?}");
        }
        assert_eq!(fit_display_name("\u{202E}ann", "user"), "ann");
        // U+0344 becomes two characters when it is composed.
        let fitted = fit_display_name(&format!("q{}", "\u{344}".repeat(63)), "user");
        assert!(DisplayName::new(fitted.as_str()).is_ok() && fitted.starts_with('q'));
    }
}

//! Texts that people or clients write, each with its rule.
//!
//! The bounds here are those of protocol v1; a server may configure tighter
//! ones, which the engine checks. Contents are kept byte for byte; names and
//! topics are trimmed and NFC.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use crate::limits::hard;

/// A text that breaks its rule; the message says which, for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidText(pub String);

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` by the rule of this type.
            ///
            /// # Errors
            /// Says which rule `text` breaks.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidText> {
                $check(text.into()).map(|text| Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidText;

            fn try_from(text: String) -> Result<Self, InvalidText> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.as_ref().to_owned()
            }
        }
    };
}

text_type!(
    /// What a message says: 1 byte to 8,192 (a setting), any Unicode text but
    /// control characters other than line feed, carriage return and tab.
    /// Kept and delivered byte for byte.
    Content,
    check_content
);
text_type!(
    /// The key by which a client recognises its own message: 1 to 64 characters
    /// without control characters, unique per sender and conversation for ever.
    ClientId,
    check_client_id
);
text_type!(
    /// The name of a room: 1 to 100 characters, trimmed, NFC, on one line.
    RoomName,
    check_room_name
);
text_type!(
    /// The topic of a room: up to 500 characters, trimmed, NFC; may be empty.
    Topic,
    check_topic
);
text_type!(
    /// The name that others see of a user: 1 to 64 characters, trimmed, NFC, on one line.
    DisplayName,
    check_display_name
);
text_type!(
    /// What a client calls the device it runs on: 1 to 64 characters; only a label.
    DeviceName,
    check_device_name
);

macro_rules! stored_line {
    ($($name:ident),*) => { $(
        impl $name {
            /// A text that a store has kept, perhaps since before U+2028 and U+2029 were refused: they are read as
            /// spaces.
            ///
            /// # Errors
            /// Says which other rule `text` breaks.
            pub fn from_stored(text: impl Into<String>) -> Result<Self, InvalidText> {
                let text = text.into();
                if text.contains(is_separator) { Self::new(text.replace(is_separator, " ")) } else { Self::new(text) }
            }
        }
    )* };
}

stored_line!(RoomName, DisplayName, DeviceName);

impl RoomName {
    /// By what a room is found: see [`search_folded`].
    #[must_use]
    pub fn folded(&self) -> String {
        search_folded(self.as_str())
    }
}

/// A text without its case, in every script: by what rooms are searched. Letter by letter, so that part of a name
/// folds to part of the folded name. Stores keep such texts: the rule cannot change without a migration of theirs.
#[must_use]
pub fn search_folded(text: &str) -> String {
    text.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Unicode's full case folding, then NFC: all spellings of a word by case become one, `ς` with `σ` and `ß` with `ss`.
/// By what user names are unique; stores keep such texts as well.
///
/// Upper case letters are made of all, and of those lower case letters, which folds as `CaseFolding.txt` does but
/// for one letter: a dotless `ı` stays what it is. (Of the two cases of Cherokee another one is taken, too.)
#[must_use]
pub fn case_folded(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.nfc() {
        if letter == 'ı' {
            folded.push(letter);
        } else {
            let upper = letter.to_lowercase().flat_map(char::to_uppercase);
            folded.extend(upper.flat_map(char::to_lowercase));
        }
    }
    folded.nfc().collect()
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.0.len())
    }
}

macro_rules! plain_debug {
    ($($name:ident),*) => { $(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.as_str())
            }
        }
    )* };
}

plain_debug!(ClientId, RoomName, Topic, DisplayName, DeviceName);

fn check_content(text: String) -> Result<String, InvalidText> {
    if text.is_empty() || text.len() > hard::CONTENT_BYTES {
        return Err(InvalidText(format!("must have 1 to {} bytes", hard::CONTENT_BYTES)));
    }
    refuse_controls(&text, &['\n', '\r', '\t'])?;
    Ok(text)
}

fn check_client_id(text: String) -> Result<String, InvalidText> {
    refuse_controls(&text, &[])?;
    check_length(&text, 1, hard::CLIENT_ID_CHARACTERS)?;
    Ok(text)
}

fn check_room_name(text: String) -> Result<String, InvalidText> {
    check_line(&text, 1, hard::ROOM_NAME_CHARACTERS)
}

fn check_topic(text: String) -> Result<String, InvalidText> {
    refuse_controls(&text, &['\n'])?;
    let text: String = text.trim().nfc().collect();
    check_length(&text, 0, hard::TOPIC_CHARACTERS)?;
    Ok(text)
}

fn check_display_name(text: String) -> Result<String, InvalidText> {
    check_line(&text, 1, hard::DISPLAY_NAME_CHARACTERS)
}

fn check_device_name(text: String) -> Result<String, InvalidText> {
    check_line(&text, 1, hard::DEVICE_NAME_CHARACTERS)
}

fn check_line(text: &str, min: usize, max: usize) -> Result<String, InvalidText> {
    refuse_controls(text, &[])?;
    if text.contains(is_separator) {
        return Err(InvalidText("must be on one line".into()));
    }
    if text.chars().any(is_bidi_override) {
        return Err(InvalidText("must not contain characters that change the writing direction".into()));
    }
    let text: String = text.trim().nfc().collect();
    if !text.is_empty() && text.chars().all(is_blank) {
        return Err(InvalidText("must have a visible character".into()));
    }
    check_length(&text, min, max)?;
    Ok(text)
}

/// White space, and what Unicode lets a renderer leave out (Default_Ignorable_Code_Point) or draws as nothing.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{2800}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}'
            | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// The separators of lines and paragraphs, which are no control characters.
fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

/// Embeddings, overrides and isolates: in a name they would reorder what stands beside it.
fn is_bidi_override(c: char) -> bool {
    matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn check_length(text: &str, min: usize, max: usize) -> Result<(), InvalidText> {
    // A character has at most four bytes: most oversized texts need no counting.
    let count = if text.len() > max * 4 { max + 1 } else { text.chars().count() };
    if count < min || count > max {
        return Err(InvalidText(format!("must have {min} to {max} characters")));
    }
    Ok(())
}

fn refuse_controls(text: &str, allowed: &[char]) -> Result<(), InvalidText> {
    if text.chars().any(|c| c.is_control() && !allowed.contains(&c)) {
        return Err(InvalidText("must not contain control characters".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_kept_byte_for_byte() {
        for text in [" a ", "e\u{301}", "一\n\t二", "\u{202E}x", "👩‍👩‍👧"] {
            assert_eq!(Content::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn controls_are_refused_everywhere() {
        for text in ["a\0b", "\u{1b}[31m", "\u{85}"] {
            assert!(Content::new(text).is_err());
            assert!(ClientId::new(text).is_err());
            assert!(RoomName::new(text).is_err());
        }
        assert!(RoomName::new("two\nlines").is_err());
    }

    /// Every character at which some program begins a new line (UAX #14: BK, CR, LF, NL).
    const NEW_LINES: [&str; 7] = ["\n", "\r", "\u{B}", "\u{C}", "\u{85}", "\u{2028}", "\u{2029}"];

    #[test]
    fn names_are_on_one_line_wherever_the_next_one_begins() {
        for new_line in NEW_LINES {
            for text in [format!("a{new_line}b"), format!("{new_line}a"), format!("a{new_line}")] {
                assert!(RoomName::new(text.as_str()).is_err(), "{text:?}");
                assert!(DisplayName::new(text.as_str()).is_err(), "{text:?}");
                assert!(DeviceName::new(text.as_str()).is_err(), "{text:?}");
                assert!(serde_json::from_value::<RoomName>(text.clone().into()).is_err(), "{text:?}");
                assert!(crate::domain::Email::new(format!("x{text}@example.org")).is_err(), "{text:?}");
                #[cfg(feature = "password")]
                assert!(
                    crate::auth::username::registration_keys(&format!("name{text}x")).is_err(),
                    "{text:?}"
                );
            }
        }
        assert!(Topic::new("two\nlines").is_ok() && Content::new("two\u{2028}lines").is_ok());
    }

    #[test]
    fn names_that_were_stored_with_other_separators_are_read_as_one_line() {
        for (stored, read) in [("a\u{2028}b", "a b"), ("\u{2029}a\u{2028}", "a"), ("plain", "plain")] {
            assert_eq!(RoomName::from_stored(stored).unwrap().as_str(), read);
            assert_eq!(DisplayName::from_stored(stored).unwrap().as_str(), read);
            assert_eq!(DeviceName::from_stored(stored).unwrap().as_str(), read);
        }
        assert!(RoomName::from_stored("two\nlines").is_err());
    }

    #[test]
    fn names_are_trimmed_and_composed() {
        assert_eq!(RoomName::new("  e\u{301}  ").unwrap().as_str(), "é");
        assert!(RoomName::new("   ").is_err());
        assert!(DisplayName::new("abc\u{202E}def").is_err());
        assert_eq!(Topic::new("  ").unwrap().as_str(), "");
        for blank in ["\u{200B}", "\u{2800}", "\u{3164}\u{FE0F}", " \u{AD} "] {
            assert!(RoomName::new(blank).is_err() && DisplayName::new(blank).is_err(), "{blank:?}");
        }
        assert!(DisplayName::new("👩\u{200D}🚀").is_ok());
    }

    #[test]
    fn names_that_differ_in_case_only_are_found_by_each_other_in_every_script() {
        let room = RoomName::new("ΟΔΟΣ Straße ЖУК 大厅 e\u{301}").unwrap();
        assert_eq!(room.folded(), search_folded("οδος STRASSE жук 大厅 É"));
        for part in ["οδος", "σ s", "strasse", "ΖΗΤΑ", "É", ""] {
            assert_eq!(room.folded().contains(&search_folded(part)), part != "ΖΗΤΑ", "{part}");
        }
    }

    #[test]
    fn spellings_of_a_word_fold_to_one_and_stay_so() {
        for (one, other) in [
            ("ΝΙΚΟΣ", "νικος"),
            ("νικοσ", "Νικος"),
            ("Straße", "STRASSE"),
            ("STRAẞE", "strasse"),
            ("ᾳ", "ΑΙ"),
            ("İ", "i\u{307}"),
            ("김철수", "\u{1100}\u{1175}\u{11B7}\u{110E}\u{1165}\u{11AF}\u{1109}\u{116E}"),
            ("Ω", "\u{2126}"),
        ] {
            assert_eq!(case_folded(one), case_folded(other));
        }
        assert_ne!(case_folded("ısı"), case_folded("isi"));
        for letter in ('\0'..='\u{1FFFF}').map(String::from) {
            let folded = case_folded(&letter);
            assert_eq!(case_folded(&folded), folded, "{letter:?}");
            assert_eq!(case_folded(&letter.to_lowercase()), folded, "{letter:?}");
            if letter != "ı" {
                assert_eq!(case_folded(&letter.to_uppercase()), folded, "{letter:?}");
            }
        }
    }

    #[test]
    fn lengths_count_characters() {
        assert!(ClientId::new("字".repeat(64)).is_ok());
        assert!(ClientId::new("字".repeat(65)).is_err());
        assert!(ClientId::new("").is_err());
        assert!(Content::new("x".repeat(hard::CONTENT_BYTES)).is_ok());
        assert!(Content::new("x".repeat(hard::CONTENT_BYTES + 1)).is_err());
    }
}

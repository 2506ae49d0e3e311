//! User names: which may be registered, and by which keys they are found and unique.
//!
//! RFC 8265 (`UsernameCaseMapped`) says what a name may consist of and unifies width and composition; Unicode's
//! full case folding unifies case; UTS #39 says what looks alike and which scripts may stand together. Display
//! names are free text and not judged here.

use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{UsernameCaseMapped, UsernameCasePreserved};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::{RestrictionLevel, RestrictionLevelDetection, skeleton};

use crate::domain::{InvalidText, case_folded};
use crate::limits::hard;
use crate::port::UsernameKeys;

/// Bytes of the longest text that is looked up at all: legacy names may be longer than today's.
const LOOKUP_BYTES: usize = 1_024;

/// What keys begin with that stand for exactly one text; folding never leaves it in a name. Stores keep such keys of
/// accounts that were taken over, where another one has the keys of their names.
const UNFOLDED: char = '\u{1}';

/// Combining marks that may follow each other; no script needs more.
const MARKS_IN_A_ROW: usize = 3;

/// Names that would pass for the operator or the system, whoever held them. Only the whole name counts.
const RESERVED: [&str; 40] = [
    "abuse",
    "admin",
    "administrator",
    "all",
    "anonymous",
    "deleted",
    "everyone",
    "help",
    "helpdesk",
    "here",
    "hostmaster",
    "moderator",
    "no-reply",
    "nobody",
    "noreply",
    "null",
    "official",
    "operator",
    "postmaster",
    "root",
    "security",
    "server",
    "service",
    "staff",
    "superuser",
    "support",
    "sysadmin",
    "sysop",
    "system",
    "undefined",
    "unknown",
    "webmaster",
    "客服",
    "官方",
    "版主",
    "管理员",
    "系统",
    "系统管理员",
    "超级管理员",
    "官方客服",
];

/// The keys of a name that somebody wants to register. The shown text keeps its case; width and
/// composition are unified.
///
/// # Errors
/// Says, for a person, which rule the name breaks.
pub fn registration_keys(typed: &str) -> Result<UsernameKeys, InvalidText> {
    let refuse = |reason: &str| Err(InvalidText(reason.to_owned()));
    if typed.len() > LOOKUP_BYTES {
        return refuse("must have 2 to 32 characters");
    }
    let composed = composed(typed);
    let (Ok(text), Some(folded)) = (UsernameCasePreserved::enforce(composed.as_str()), fold(&composed))
    else {
        return refuse("must consist of letters, digits and - _ .");
    };
    let count = text.chars().count();
    if !(hard::USERNAME_CHARACTERS_MIN..=hard::USERNAME_CHARACTERS).contains(&count) {
        return refuse("must have 2 to 32 characters");
    }
    if folded.contains(is_joiner) || !folded.contains(char::is_alphanumeric) || has_stray_marks(&folded) {
        return refuse("must consist of letters, digits and - _ .");
    }
    match folded.as_str().detect_restriction_level() {
        RestrictionLevel::ASCIIOnly
        | RestrictionLevel::SingleScript
        | RestrictionLevel::HighlyRestrictive => {}
        RestrictionLevel::ModeratelyRestrictive | RestrictionLevel::MinimallyRestrictive => {
            return refuse("must not mix letters of different scripts");
        }
        RestrictionLevel::Unrestricted => return refuse("must consist of letters, digits and - _ ."),
    }
    // Folding turns a capital I into an i, but what people see is the text.
    if is_reserved(&folded) || is_reserved(&text) {
        return refuse("is reserved");
    }
    let skeleton = skeleton(&folded).collect();
    Ok(UsernameKeys { text: text.into_owned(), folded, skeleton })
}

/// The keys by which a typed name is looked up; `None` if nobody can have it. Every text is allowed: names
/// from before today's rules are found by their exact text.
#[must_use]
pub fn lookup_keys(typed: &str) -> Option<UsernameKeys> {
    if typed.is_empty() || typed.len() > LOOKUP_BYTES {
        return None;
    }
    // A text that cannot be folded finds exact texts only, and not an account by a key that no name folds to.
    let folded = fold(&composed(typed)).unwrap_or_else(|| format!("{UNFOLDED}{typed}"));
    let skeleton = skeleton(&folded).collect();
    Some(UsernameKeys { text: typed.to_owned(), folded, skeleton })
}

/// The keys that a typed name had before names were folded fully, when a final sigma or a sharp s stayed what it was;
/// `None` if they were the same. An account whose present key another one had already keeps this one, and whoever
/// found an account by this one goes on to find it: it is looked up first.
pub(super) fn former_keys(keys: &UsernameKeys) -> Option<UsernameKeys> {
    let folded = map_case(&composed(&keys.text))?;
    let skeleton = skeleton(&folded).collect();
    (folded != keys.folded).then(|| UsernameKeys { text: keys.text.clone(), folded, skeleton })
}

/// What was typed, as one keyboard or another writes it: without composition even letters of Hangul are none.
fn composed(typed: &str) -> String {
    typed.trim().nfc().collect()
}

/// The folded form, if there is one that stays as it is when it is folded again.
fn fold(composed: &str) -> Option<String> {
    let folded = case_folded(&map_case(composed)?);
    let again = map_case(&folded)?;
    (folded == again).then_some(folded)
}

/// As RFC 8265 maps case, letter by letter to lower case; if the result stays as it is.
fn map_case(composed: &str) -> Option<String> {
    let mapped = UsernameCaseMapped::enforce(composed).ok()?;
    let again = UsernameCaseMapped::enforce(mapped.as_ref()).ok()?;
    (mapped == again).then(|| mapped.to_string())
}

/// Zero width joiner and non-joiner: invisible, but allowed by RFC 8264 in some places.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

/// Marks with nothing to stand on, or towers of them.
fn has_stray_marks(name: &str) -> bool {
    let mut in_a_row = MARKS_IN_A_ROW;
    for c in name.chars() {
        in_a_row = if is_combining_mark(c) { in_a_row + 1 } else { 0 };
        if in_a_row > MARKS_IN_A_ROW {
            return true;
        }
    }
    false
}

fn is_reserved(folded: &str) -> bool {
    let likeness = likeness(folded);
    RESERVED.iter().any(|reserved| likeness == self::likeness(reserved))
}

/// What a name looks like whatever the case: the skeleton alone tells `0` from `o`, because only `O` is like it.
fn likeness(folded: &str) -> String {
    let plain: String = skeleton(folded).collect();
    skeleton(&plain.to_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sec_19_names_of_all_scripts_are_welcome() {
        for name in [
            "al",
            "alice",
            "Alice",
            "a1",
            "bob_the-builder.2",
            "张三",
            "张三Zhang",
            "王小明",
            "山田太郎",
            "やまだ",
            "ヤマダ",
            "山田タロウ",
            "김철수",
            "김cheolsu",
            "Иван",
            "Ελένη",
            "יוסי",
            "مريم",
            "Ngọc",
            "Zoë",
            "Łukasz",
            "Ærøskøbing",
            "straße",
            "สมชาย",
            "अमित",
            "d'artagnan",
            "badminton",
            "roots",
            "systems",
            "42",
            "adminton",
            "supporter",
            &"字".repeat(32),
            &"x".repeat(32),
        ] {
            let keys = registration_keys(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(keys.text, name);
            assert_eq!(lookup_keys(name).unwrap().folded, keys.folded, "{name}");
        }
    }

    fn assert_refused(names: &[&str]) {
        for name in names {
            assert!(registration_keys(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn sec_19_names_of_a_wrong_length_are_refused() {
        assert_refused(&[
            "",
            "a",
            "字",
            " ",
            "  ",
            " a ",
            &"x".repeat(33),
            &"字".repeat(33),
            &"x".repeat(100_000),
        ]);
    }

    #[test]
    fn sec_19_names_with_signs_and_controls_are_refused() {
        assert_refused(&[
            "alice smith",
            "alice\u{3000}smith",
            "alice\tsmith",
            "alice\nsmith",
            "alice\0",
            "a\u{7f}b",
        ]);
        assert_refused(&[
            "\u{1b}[31m",
            "alice@example.org",
            "<script>",
            "a/b",
            "a\\b",
            "$ne",
            "{\"$ne\":null}",
        ]);
        assert_refused(&["a&b", "\"ab\"", "#1", "a%b", "--", "..", "._-"]);
        assert_refused(&["🙂🙃", "alice🙂", "①②", "ℵℵ", "𝐚𝐥𝐢𝐜𝐞", "🄰🄱", "★★", "½½", "™™"]);
    }

    #[test]
    fn sec_19_names_that_mix_scripts_or_directions_are_refused() {
        assert_refused(&["раypal", "pаypal", "аdmin", "Βob", "alісe", "googlе", "аліce", "Иvan", "ａliсe"]);
        assert_refused(&["יaוסי", "abcمريم"]);
    }

    #[test]
    fn sec_19_names_with_invisible_characters_are_refused() {
        assert_refused(&[
            "ali\u{200B}ce",
            "ali\u{200C}ce",
            "ali\u{200D}ce",
            "\u{FEFF}alice",
            "ali\u{2060}ce",
        ]);
        assert_refused(&[
            "\u{202E}ecila",
            "ali\u{2066}ce",
            "alice\u{200F}",
            "ali\u{061C}ce",
            "ali\u{FE0F}ce",
        ]);
        assert_refused(&[
            "ali\u{00AD}ce",
            "ali\u{180E}ce",
            "ali\u{3164}ce",
            "ali\u{115F}ce",
            "ali\u{E0061}ce",
        ]);
        assert_refused(&["ali\u{E000}ce", "ali\u{10FFFF}ce", "a\u{34F}lice"]);
        assert_refused(&["\u{301}alice", "\u{301}\u{302}", "z\u{351}\u{352}\u{353}\u{354}"]);
    }

    #[test]
    fn sec_19_reserved_names_are_refused_in_every_disguise() {
        for name in [
            "admin",
            "Admin",
            "ADMIN",
            "ａｄｍｉｎ",
            "adrnin",
            "admın",
            "administrator",
            "root",
            "r00t",
            "RO0T",
            "system",
            "sуstem",
            "support",
            "supp0rt",
            "null",
            "nu11",
            "nuIl",
            "everyone",
            "a11",
            "管理员",
            "系统",
            "客服",
        ] {
            assert!(registration_keys(name).is_err(), "{name}");
        }
    }

    #[test]
    fn sec_19_the_same_name_written_otherwise_has_the_same_keys() {
        for (one, other) in [
            ("alice", "ALICE"),
            ("alice", "ａｌｉｃｅ"),
            ("alice", "  Alice "),
            ("Zoë", "Zoe\u{308}"),
            ("アリス", "ｱﾘｽ"),
            ("иван", "ИВАН"),
            ("ælfred", "ÆLFRED"),
            ("ΝΙΚΟΣ", "νικος"),
            ("νικοσ", "Νικος"),
            ("straße", "STRASSE"),
            ("straße", "STRAẞE"),
            ("김철수", "\u{1100}\u{1175}\u{11B7}\u{110E}\u{1165}\u{11AF}\u{1109}\u{116E}"),
            ("김철수", "김\u{110E}\u{1165}\u{11AF}수"),
            ("Ngọc", "Ngo\u{323}c"),
            ("ᾳδης", "ΑΙΔΗΣ"),
        ] {
            let (one, other) = (registration_keys(one).unwrap(), registration_keys(other).unwrap());
            assert_eq!(one.folded, other.folded);
            assert_eq!(one.skeleton, other.skeleton);
        }
    }

    #[test]
    fn sec_19_names_that_look_alike_have_one_skeleton() {
        for (one, other) in [
            ("paypal", "раураӏ"),
            ("paypal", "paypa1"),
            ("bill", "bi11"),
            ("modern", "modem"),
            ("istanbul", "ıstanbul"),
            ("core", "соге"),
            ("scope", "ѕсоре"),
        ] {
            let (one, other) = (lookup_keys(one).unwrap(), lookup_keys(other).unwrap());
            assert_ne!(one.folded, other.folded);
            assert_eq!(one.skeleton, other.skeleton, "{} {}", one.text, other.text);
        }
        assert_eq!(lookup_keys("admin").unwrap().skeleton, "adrnin");
    }

    #[test]
    fn former_keys_are_those_of_names_that_folded_less() {
        let former = |typed: &str| former_keys(&lookup_keys(typed).unwrap()).map(|keys| keys.folded);
        assert_eq!(former("Νικος").as_deref(), Some("νικος"));
        assert_eq!(former("STRAẞE").as_deref(), Some("straße"));
        for same in ["ΝΙΚΟΣ", "νικοσ", "STRASSE", "alice", "김철수", "a b", "\u{1}νικος"] {
            assert_eq!(former(same), None, "{same}");
        }
    }

    #[test]
    fn width_is_unified_in_the_shown_text_and_case_is_kept() {
        assert_eq!(registration_keys("Ａｌｉｃｅ").unwrap().text, "Alice");
        assert_eq!(registration_keys(" Zoe\u{308} ").unwrap().text, "Zoë");
    }

    #[test]
    fn names_from_before_are_looked_up_by_their_exact_text() {
        for name in ["a", "раypal", "alice smith ", "alice@example.org", "🙂", "\u{202E}x", "a\0b"] {
            assert_eq!(lookup_keys(name).unwrap().text, name);
        }
        assert!(lookup_keys("").is_none());
        assert!(lookup_keys(&"x".repeat(1_025)).is_none());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,40}|[\\x00-\u{10FFFF}]{0,12}") {
            let looked_up = lookup_keys(&text);
            if let Ok(keys) = registration_keys(&text) {
                prop_assert_eq!(&keys.folded, &looked_up.unwrap().folded);
                prop_assert_eq!(&lookup_keys(&keys.text).unwrap().folded, &keys.folded);
                prop_assert_eq!(&lookup_keys(&keys.folded).unwrap().folded, &keys.folded);
            }
        }
    }
}

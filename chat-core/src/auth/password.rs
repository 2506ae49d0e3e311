//! Which passwords may be chosen. Login asks nothing of this: what was good once may be typed for ever.
//!
//! Length counts, and that nobody else has thought of it; no rules about kinds of characters.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::domain::InvalidText;
use crate::limits::hard;
use crate::port::UsernameKeys;

/// The password in the form that is hashed: NFC, so that every keyboard makes the same of it.
pub(super) fn normalised(typed: &str) -> Zeroizing<String> {
    // NFC is at most three times as long: the text never moves and leaves no copy behind.
    let mut text = Zeroizing::new(String::with_capacity(typed.len() * 3));
    text.extend(typed.nfc());
    text
}

/// What a password must not repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) username: &'a UsernameKeys,
    pub(super) email: Option<&'a str>,
}

/// Checks a new password.
///
/// # Errors
/// Says, for a person, which rule it breaks; never what it was.
pub(super) fn check(typed: &str, characters_min: usize, context: Context<'_>) -> Result<(), InvalidText> {
    let refuse = |reason: String| Err(InvalidText(reason));
    let characters_max = hard::PASSWORD_CHARACTERS;
    // A character has at most four bytes and NFC shortens by no more than that: most oversized texts
    // need no counting.
    let text = if typed.len() > characters_max * 16 { Zeroizing::default() } else { normalised(typed) };
    if !(characters_min..=characters_max).contains(&text.chars().count()) {
        return refuse(format!("must have {characters_min} to {characters_max} characters"));
    }
    if text.contains('\0') {
        return refuse("must not contain U+0000".to_owned());
    }
    let lower = Zeroizing::new(text.to_lowercase());
    if repeats(&lower, context) {
        return refuse("must not be the user name or the e-mail address".to_owned());
    }
    if passwords::analyzer::is_common_password(text.as_str())
        || passwords::analyzer::is_common_password(lower.as_str())
    {
        return refuse("is one of the most common passwords".to_owned());
    }
    Ok(())
}

fn repeats(lower: &str, context: Context<'_>) -> bool {
    let same = |word: &str| word.nfc().collect::<String>().to_lowercase() == lower;
    let local = |email: &str| email.split_once('@').is_some_and(|(local, _)| same(local));
    same(&context.username.text)
        || same(&context.username.folded)
        || context.email.is_some_and(|email| same(email) || local(email))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::username::lookup_keys;

    fn judge(password: &str) -> Result<(), String> {
        let username = lookup_keys("Guybrush_Threepwood").unwrap();
        let context = Context { username: &username, email: Some("le.chuck@example.org") };
        check(password, 8, context).map_err(|error| error.0)
    }

    #[test]
    fn sec_14_length_counts_characters_and_nothing_else() {
        for password in ["", "1234567", "七个字的密码啊"] {
            assert!(judge(password).unwrap_err().contains("8 to 128"), "{password}");
        }
        assert!(judge(&"z".repeat(129)).is_err());
        assert!(judge(&"é".repeat(100_000)).is_err());
        let longest_decomposed = "e\u{301}".repeat(128);
        for password in [
            "correct horse",
            "八个字的密码好吗",
            "🙂🙃🙂🙃🙂🙃🙂🙃",
            "zzzzzzzq",
            "        ",
            &"字".repeat(128),
            &longest_decomposed,
        ] {
            assert_eq!(judge(password), Ok(()), "{password}");
        }
    }

    #[test]
    fn sec_14_nul_is_refused() {
        assert!(judge("abcd\0efgh").unwrap_err().contains("U+0000"));
    }

    #[test]
    fn sec_14_composition_does_not_matter_and_spaces_do() {
        assert_eq!(*normalised("Cafe\u{301} au lait"), *normalised("Café au lait"));
        assert_ne!(*normalised("Café au lait "), *normalised("Café au lait"));
        assert_ne!(*normalised("ｃafé au lait"), *normalised("café au lait"));
    }

    #[test]
    fn sec_14_names_and_addresses_are_no_passwords() {
        for password in [
            "guybrush_threepwood",
            "GUYBRUSH_THREEPWOOD",
            "le.chuck@example.org",
            "Le.Chuck@Example.ORG",
            "LE.CHUCK",
        ] {
            assert!(judge(password).unwrap_err().contains("user name"), "{password}");
        }
        assert_eq!(judge("guybrush_threepwood2"), Ok(()));
    }

    #[test]
    fn sec_14_common_passwords_are_refused() {
        for password in [
            "password",
            "Password",
            "PASSWORD",
            "password1",
            "12345678",
            "123456789",
            "1234567890",
            "11111111",
            "88888888",
            "qwertyuiop",
            "qwerty123",
            "1qaz2wsx",
            "1q2w3e4r",
            "iloveyou",
            "ILoveYou",
            "sunshine",
            "princess",
            "football",
            "baseball",
            "superman",
            "trustno1",
            "starwars",
            "jennifer",
            "michelle",
            "letmein1",
            "welcome1",
            "P@ssw0rd",
            "passw0rd",
            "whatever",
            "abc123456",
            "a123456789",
            "qq123456",
            "woaini1314",
            "woaini520",
            "5201314520",
            "александр",
        ] {
            assert!(judge(password).unwrap_err().contains("common"), "{password}");
        }
    }

    #[test]
    fn sec_14_refusals_do_not_repeat_the_password() {
        for password in ["sunshine", "s3cret!", "LE.CHUCK", &"canary".repeat(40)] {
            assert!(!judge(password).unwrap_err().contains(password));
        }
    }
}

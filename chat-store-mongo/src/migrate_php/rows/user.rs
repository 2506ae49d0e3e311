//! Users become accounts: a name with its keys, a name to show, times that can be read. Passwords stay where they
//! are; tokens of the PHP chat are worth nothing here and are not even read.

use chat_core::time::Timestamp;
use mongodb::bson::{Bson, Document};

use crate::migrate_php::engine::change::{Change, before, original, original_given};
use crate::migrate_php::report::FindingKind;
use crate::migrate_php::rows::name::Named;
use crate::migrate_php::rows::text::fit_display_name;
use crate::migrate_php::rows::value::{Id, id_of, last_digits, text_of, time_of, time_of_id};
use crate::table::row::date;

/// What a hash that can be verified begins with.
const HASHES: [&str; 4] = ["$2y$", "$2a$", "$2b$", "$argon2id$"];
/// The password of an account that nobody can sign in to.
const NO_PASSWORD: &str = "";

/// When a row was made: as it says, else as its id does. The latter is worth telling.
pub(crate) fn created_at(row: &Document, id: Id) -> (Timestamp, Option<(FindingKind, String)>) {
    match original(row, "created_at").and_then(time_of) {
        Some(time) => (time, None),
        None => {
            let time = time_of_id(id);
            let text = format!("created_at cannot be read; the time of the id takes its place: {time}");
            (time, Some((FindingKind::TimeUnreadable, text)))
        }
    }
}

/// The name to show that becomes of what was written.
fn display_name(written: &str, id: Id) -> String {
    fit_display_name(written, &format!("user-{}", last_digits(id, 6)))
}

/// Whether a user of the PHP chat, which had no name to show for them, still has the one that was made of their name.
pub(crate) fn has_made_display_name(row: &Document) -> bool {
    let (Some(id), Ok(username)) = (row.get("_id").and_then(id_of), row.get_str("username")) else {
        return false;
    };
    matches!(row.get(before("display_name")), Some(Bson::Null))
        && row.get_str("display_name").is_ok_and(|shown| shown == display_name(username, id))
}

/// What becomes of a user, and what is worth telling.
pub(crate) fn account(row: &Document, id: Id, named: Named) -> (Change<'_>, Vec<(FindingKind, String)>) {
    let is_ours = ["username_folded", "username_skeleton"].iter().all(|key| row.get_str(key).is_ok());
    let mut change = Change::of(row, is_ours);
    let mut notes = named.notes;
    let (created_at, unreadable) = created_at(row, id);
    notes.extend(unreadable);
    if !is_ours {
        change.remove("changed");
    }
    change.set("created_at", date(created_at));

    let written = original(row, "display_name").and_then(text_of);
    change.set("display_name", display_name(written.as_deref().unwrap_or(&named.username), id));
    change.set("username", named.username);
    change.put("username_folded", named.folded);
    change.put("username_skeleton", named.skeleton);
    if !matches!(row.get("disabled"), Some(Bson::Boolean(_))) {
        change.set("disabled", false);
    }

    for field in ["last_login", "last_seen"] {
        let Some(stated) = original_given(row, field) else { continue };
        match time_of(stated) {
            Some(time) => change.set(field, date(time)),
            None => {
                change.remove(field);
                notes.push((FindingKind::TimeUnreadable, format!("{field} cannot be read; it is put aside")));
            }
        }
    }
    if !matches!(original(row, "email"), None | Some(Bson::String(_) | Bson::Null)) {
        change.remove("email");
        notes.push((FindingKind::EmailUnusable, "its e-mail address is no text; it is put aside".to_owned()));
    }
    let password = original(row, "password").and_then(Bson::as_str);
    // Who registered here before the PHP chat was gone back to has only a hash of ours.
    let of_ours = row.get("password_hash").and_then(Bson::as_str);
    let is_known = |hash: &str| HASHES.iter().any(|known| hash.starts_with(known));
    if row.contains_key("password_hash") && !of_ours.is_some_and(is_known) {
        change.remove("password_hash");
    }
    if ![password, of_ours].into_iter().flatten().any(is_known) {
        if password.is_none() {
            change.set("password", NO_PASSWORD);
        }
        let text = "has no password hash of a known kind; nobody can sign in as this user".to_owned();
        notes.push((FindingKind::PasswordUnusable, text));
    }
    (change, notes)
}

#[cfg(test)]
mod tests {
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, doc};

    use super::*;

    const ID: &str = "65f0c0ffee00000000abcdef";

    fn named(username: &str) -> Named {
        let key = username.to_lowercase();
        Named { username: username.to_owned(), folded: key.clone(), skeleton: key, notes: Vec::new() }
    }

    fn migrated(fields: Document) -> (Document, Vec<FindingKind>) {
        let mut row = doc! { "_id": ObjectId::parse_str(ID).unwrap() };
        row.extend(fields);
        let id = row.get("_id").and_then(id_of).unwrap();
        let (change, notes) = account(&row, id, named("Ann"));
        let migrated = change.applied();
        let (again, notes_again) = account(&migrated, id, named("Ann"));
        assert_eq!((again.statement(), &notes_again), (None, &notes), "a second time changes something");
        (migrated, notes.into_iter().map(|(kind, _)| kind).collect())
    }

    fn user() -> Document {
        doc! {
            "username": "Ann",
            "password": "$2y$10$abc",
            "email": "ann@example.org",
            "created_at": DateTime::from_millis(1_700_000_000_000),
            "last_login": 1_700_000_001,
            "token": "secret",
        }
    }

    #[test]
    fn a_user_keeps_everything_and_gets_what_an_account_needs() {
        let (row, notes) = migrated(user());
        let mut expected = doc! { "_id": ObjectId::parse_str(ID).unwrap() };
        expected.extend(user());
        expected.insert("display_name", "Ann");
        expected.insert("username_folded", "ann");
        expected.insert("username_skeleton", "ann");
        expected.insert("display_name_before", Bson::Null);
        expected.insert("disabled", false);
        expected.insert("disabled_before", Bson::Null);
        expected.insert("last_login", DateTime::from_millis(1_700_000_001_000));
        expected.insert("last_login_before", 1_700_000_001);
        let sorted = |row: &Document| {
            let mut fields: Vec<_> = row.clone().into_iter().collect();
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            fields
        };
        assert_eq!(sorted(&row), sorted(&expected));
        assert!(notes.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_put_aside_and_told() {
        let mut fields = user();
        fields.insert("created_at", "long ago");
        fields.insert("last_login", true);
        fields.insert("email", 7);
        fields.insert("password", Bson::Null);
        let (row, notes) = migrated(fields);
        use FindingKind::{EmailUnusable, PasswordUnusable, TimeUnreadable};
        assert_eq!(notes, [TimeUnreadable, TimeUnreadable, EmailUnusable, PasswordUnusable]);
        assert_eq!(row.get_datetime("created_at").unwrap().timestamp_millis(), 0x65f0_c0ff * 1_000);
        assert!(!row.contains_key("last_login") && !row.contains_key("email"));
        assert_eq!(row.get_str("password").ok(), Some(""));
        for (field, before) in
            [("created_at", "long ago".into()), ("last_login", true.into()), ("email", 7.into())]
        {
            assert_eq!(row.get(crate::migrate_php::engine::change::before(field)), Some(&before));
        }
    }

    #[test]
    fn passwords_of_unknown_kinds_stay_and_are_told() {
        let mut fields = user();
        fields.insert("password", "5f4dcc3b5aa765d61d8327deb882cf99");
        let (row, notes) = migrated(fields);
        assert_eq!(notes, [FindingKind::PasswordUnusable]);
        assert_eq!(row.get_str("password").ok(), Some("5f4dcc3b5aa765d61d8327deb882cf99"));
        assert!(!row.contains_key("password_hash"));
    }
}

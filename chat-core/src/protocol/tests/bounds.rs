//! Every string, list and number at its limit, one below, one above, and far above.

use super::{assert_refused, decode, object, samples, with_raw};
use crate::domain::Seq;
use crate::limits::hard;

/// A field, its largest size, and the raw JSON of a value of some size.
type Bound = (&'static str, &'static str, usize, fn(usize) -> String);

fn ascii(size: usize) -> String {
    format!("\"{}\"", "a".repeat(size))
}

fn han(size: usize) -> String {
    format!("\"{}\"", "字".repeat(size))
}

/// Characters outside the basic plane, each written as two escapes of six bytes.
fn escaped(size: usize) -> String {
    format!("\"{}\"", "\\ud83d\\ude00".repeat(size))
}

fn email(size: usize) -> String {
    format!("\"a@{}\"", "b".repeat(size.saturating_sub(2)))
}

fn list(size: usize) -> String {
    let ids: Vec<String> = (0..size).map(|n| format!("\"{n:024x}\"")).collect();
    format!("[{}]", ids.join(","))
}

fn cursors(size: usize) -> String {
    let ids: Vec<String> = (0..size).map(|n| format!("\"{n:024x}\":{n}")).collect();
    format!("{{{}}}", ids.join(","))
}

fn malformed_cursors(size: usize) -> String {
    let ids: Vec<String> = (0..size).map(|n| format!("\"{n}\":0")).collect();
    format!("{{{}}}", ids.join(","))
}

fn number(size: usize) -> String {
    size.to_string()
}

const BOUNDS: &[Bound] = &[
    ("login", "request_id", hard::REQUEST_ID_BYTES, ascii),
    ("login", "token", hard::TOKEN_BYTES, ascii),
    ("login", "username", hard::USERNAME_BYTES, ascii),
    ("login", "password", hard::PASSWORD_BYTES, ascii),
    ("login", "device", hard::DEVICE_NAME_CHARACTERS, ascii),
    ("login", "device", hard::DEVICE_NAME_CHARACTERS, han),
    ("register", "username", hard::USERNAME_BYTES, ascii),
    ("register", "password", hard::PASSWORD_BYTES, ascii),
    ("register", "email", 254, email),
    ("register", "display_name", hard::DISPLAY_NAME_CHARACTERS, ascii),
    ("register", "display_name", hard::DISPLAY_NAME_CHARACTERS, han),
    ("authenticate", "token", hard::TOKEN_BYTES, ascii),
    ("refresh_token", "refresh_token", hard::TOKEN_BYTES, ascii),
    ("change_password", "old_password", hard::PASSWORD_BYTES, ascii),
    ("change_password", "new_password", hard::PASSWORD_BYTES, ascii),
    ("update_profile", "display_name", hard::DISPLAY_NAME_CHARACTERS, escaped),
    ("create_room", "room_name", hard::ROOM_NAME_CHARACTERS, ascii),
    ("create_room", "room_name", hard::ROOM_NAME_CHARACTERS, escaped),
    ("create_room", "topic", hard::TOPIC_CHARACTERS, han),
    ("update_room", "room_name", hard::ROOM_NAME_CHARACTERS, han),
    ("update_room", "topic", hard::TOPIC_CHARACTERS, ascii),
    ("list_rooms", "query", hard::QUERY_CHARACTERS, ascii),
    ("list_rooms", "query", hard::QUERY_CHARACTERS, han),
    ("list_rooms", "limit", hard::PAGE_ITEMS as usize, number),
    ("list_private_chats", "limit", hard::PAGE_ITEMS as usize, number),
    ("get_room", "limit", hard::PAGE_ITEMS as usize, number),
    ("open_private_chat", "username", hard::USERNAME_BYTES, ascii),
    ("send_room_message", "content", hard::CONTENT_BYTES, ascii),
    ("send_room_message", "client_id", hard::CLIENT_ID_CHARACTERS, ascii),
    ("send_room_message", "client_id", hard::CLIENT_ID_CHARACTERS, han),
    ("send_private_message", "content", hard::CONTENT_BYTES, ascii),
    ("send_private_message", "client_id", hard::CLIENT_ID_CHARACTERS, escaped),
    ("get_room_messages", "limit", hard::PAGE_ITEMS as usize, number),
    ("get_room_messages", "offset", hard::HISTORY_OFFSET as usize, number),
    ("get_private_messages", "limit", hard::PAGE_ITEMS as usize, number),
    ("get_private_messages", "offset", hard::HISTORY_OFFSET as usize, number),
    ("sync", "cursors", hard::SYNC_CURSORS, cursors),
    ("sync", "cursors", hard::SYNC_CURSORS, malformed_cursors),
    ("sync", "epoch", hard::EPOCH_BYTES, ascii),
    ("get_users", "user_ids", hard::USER_IDS, list),
    ("get_presence", "user_ids", hard::USER_IDS, list),
];

#[test]
fn sec_43_every_value_has_a_largest_size() {
    for (action, field, limit, value) in BOUNDS {
        // An example that has the field comes before one without it.
        let examples = || {
            let start = format!("{{\"action\":\"{action}\"");
            samples::REQUESTS.iter().map(|sample| sample.text).filter(move |text| text.starts_with(&start))
        };
        let key = format!("\"{field}\":");
        let example = examples().find(|text| text.contains(&key)).or_else(|| examples().next()).unwrap();
        let fields = object(example);
        for size in [1, limit - 1, *limit] {
            let text = with_raw(&fields, field, &value(size.max(3)));
            assert!(decode(&text).is_ok(), "{action} {field} {size}: {:?}", decode(&text));
        }
        for size in [limit + 1, limit * 100] {
            assert_refused(&with_raw(&fields, field, &value(size)), field);
        }
    }
}

#[test]
fn sec_43_a_request_has_at_most_64_fields() {
    let request = |count: usize| {
        let fields: Vec<String> = (1..count).map(|n| format!("\"f{n}\":{n}")).collect();
        format!("{{\"action\":\"x.y\",{}}}", fields.join(","))
    };
    let refusal = |text: &str| decode(text).unwrap_err().code.as_str();
    assert_eq!(refusal(&request(hard::JSON_FIELDS)), "unknown_action");
    assert_refused(&request(hard::JSON_FIELDS + 1), "f64");
    assert_refused(&request(hard::JSON_FIELDS * 100), "f64");
}

#[test]
fn sec_42_a_request_is_at_most_16_deep() {
    let nested = |depth: usize, open: &str, close: &str| {
        let (open, close) = (open.repeat(depth - 1), close.repeat(depth - 1));
        format!("{{\"action\":\"x.y\",\"a\":{open}0{close}}}")
    };
    for (open, close) in [("[", "]"), ("{\"b\":", "}"), ("[{\"b\":", "}]")] {
        let levels = open.matches(['[', '{']).count();
        let deepest = 1 + (hard::JSON_DEPTH - 1) / levels;
        let refusal = decode(&nested(deepest, open, close)).unwrap_err();
        assert_eq!(refusal.code.as_str(), "unknown_action", "{refusal}");
        assert_refused(&nested(deepest + 1, open, close), "a");
        assert_refused(&nested(10_000, open, close), "a");
    }
}

#[test]
fn sec_46_numbers_of_entries_are_integers_below_2_to_the_53rd() {
    let id = "65f0c0ffee00000000000010";
    let requests: [(&str, String); 5] = [
        ("seq", format!(r#"{{"action":"mark_read","room_id":"{id}","seq":N}}"#)),
        ("before_seq", format!(r#"{{"action":"get_room_messages","room_id":"{id}","before_seq":N}}"#)),
        ("after_seq", format!(r#"{{"action":"get_room_messages","room_id":"{id}","after_seq":N}}"#)),
        ("after_seq", format!(r#"{{"action":"get_private_messages","chat_id":"{id}","after_seq":N}}"#)),
        ("cursors", format!(r#"{{"action":"sync","cursors":{{"{id}":N}}}}"#)),
    ];
    for (field, request) in requests {
        for number in [0, 1, Seq::MAX.get() - 1, Seq::MAX.get()] {
            let text = request.replace('N', &number.to_string());
            assert!(decode(&text).is_ok(), "{text}");
        }
        for number in [
            "9007199254740992",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "-9223372036854775809",
            "1.0",
            "1.5",
            "1e3",
            "1e400",
            "\"1\"",
            "null",
            "[1]",
        ] {
            assert_refused(&request.replace('N', number), field);
        }
    }
}

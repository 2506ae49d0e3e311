//! Stage two: every field of every action, absent, unknown and with values of other types.

use serde_json::Value;

use super::{assert_refused, decode, object, samples, with_raw};

/// Values that are not what a field wants, as raw JSON; among them those that are operators elsewhere.
const VALUES: &[&str] = &[
    r#"{"$ne":null}"#,
    r#"{"$gt":""}"#,
    r#"{"$where":"1"}"#,
    r#"{"text":null}"#,
    "{}",
    "[]",
    r#"["a"]"#,
    "[[]]",
    "true",
    "false",
    "null",
    "1e309",
    "-1e309",
    "0",
    "-1",
    "1.5",
    "1e2",
    "18446744073709551616",
    r#""""#,
    r#""\ud800""#,
    r#""\u0000""#,
];

/// Whether a field may have this one of the values.
fn accepts(field: &str, value: &str) -> bool {
    let is_broken = value == r#""\ud800""#;
    match field {
        "request_id" => value.starts_with(['"', '-', '0', '1']) && !value.ends_with("e309") && !is_broken,
        // Any string may stand for an id; one that is no id is not found later.
        "room_id" | "chat_id" | "user_id" | "receiver_id" | "session_id" | "after" => {
            value.starts_with('"') && !is_broken
        }
        "topic" | "query" => value == r#""""#,
        // What user names and passwords may contain, the accounts decide.
        "username" | "password" | "old_password" | "new_password" | "token" | "refresh_token" | "epoch" => {
            value == r#""\u0000""#
        }
        "seq" | "before_seq" | "after_seq" | "offset" => value == "0",
        "user_ids" => value == "[]" || value == r#"["a"]"#,
        "cursors" => value == "{}",
        _ => false,
    }
}

#[test]
fn sec_41_no_field_takes_a_value_of_another_type() {
    let mut cases = 0;
    for sample in samples::REQUESTS {
        let mut fields = object(sample.text);
        fields.entry("request_id").or_insert(Value::from("r"));
        fields.entry("token").or_insert(Value::from("t"));
        for field in fields.keys().filter(|field| *field != "action") {
            for value in VALUES {
                let text = with_raw(&fields, field, value);
                if accepts(field, value) {
                    assert!(decode(&text).is_ok(), "{text}: {:?}", decode(&text));
                } else {
                    assert_refused(&text, field);
                }
                cases += 1;
            }
        }
    }
    assert!(cases >= 30 * 12, "{cases}");
}

#[test]
fn sec_41_an_action_is_a_string() {
    for value in VALUES.iter().filter(|value| !value.starts_with('"') || value.contains("ud800")) {
        assert_refused(&format!(r#"{{"action":{value}}}"#), "action");
    }
}

#[test]
fn sec_41_requests_are_closed() {
    for sample in samples::REQUESTS {
        for field in
            ["sender_id", "seq_", "ts", "timestamp", "message_id", "by", "$where", "", "Action", "__proto__"]
        {
            assert_refused(&with_raw(&object(sample.text), field, "1"), field);
        }
    }
}

#[test]
fn what_is_required_is_named_when_it_is_missing() {
    for sample in samples::REQUESTS {
        let fields = object(sample.text);
        for field in fields.keys().filter(|field| *field != "action") {
            let mut rest = fields.clone();
            rest.remove(field);
            let text = Value::Object(rest).to_string();
            match (sample.optional.contains(&field.as_str()), field.as_str()) {
                // The query is only for public rooms.
                (true, _) => assert!(decode(&text).is_ok(), "{text}: {:?}", decode(&text)),
                (false, "scope") => assert_refused(&text, "query"),
                // Either of two fields names the thing; the first of them is asked for.
                (false, "chat_id") if sample.text.contains("typing") || sample.text.contains("mark_read") => {
                    assert_refused(&text, "room_id");
                }
                (false, "username") if sample.text.contains("open_private_chat") => {
                    assert_refused(&text, "user_id");
                }
                (false, field) => assert_refused(&text, field),
            }
        }
    }
}

#[test]
fn one_of_two_is_one_of_two() {
    let id = "65f0c0ffee00000000000010";
    assert_refused(&format!(r#"{{"action":"typing","room_id":"{id}","chat_id":"{id}"}}"#), "chat_id");
    assert_refused(
        &format!(r#"{{"action":"mark_read","seq":1,"room_id":"{id}","chat_id":"{id}"}}"#),
        "chat_id",
    );
    assert_refused(
        &format!(r#"{{"action":"open_private_chat","user_id":"{id}","username":"bob"}}"#),
        "username",
    );
    assert_refused(&format!(r#"{{"action":"update_room","room_id":"{id}"}}"#), "room_name");
    assert_refused(r#"{"action":"list_rooms","query":"a"}"#, "query");
    for action in ["get_room_messages\",\"room_id", "get_private_messages\",\"chat_id"] {
        let page = |anchors: &str| format!(r#"{{"action":"{action}":"{id}",{anchors}}}"#);
        assert_refused(&page(r#""before_seq":1,"after_seq":1"#), "after_seq");
        assert_refused(&page(r#""before_seq":1,"offset":0"#), "offset");
        assert_refused(&page(r#""after_seq":1,"offset":1"#), "offset");
        assert_refused(&page(r#""after_seq":1,"before_seq":2,"offset":1"#), "offset");
    }
}

#[test]
fn any_string_is_an_id_and_only_ids_are_found() {
    use crate::protocol::request::RoomRequest;
    use crate::protocol::{Code, Request};
    for (id, is_found) in [
        ("65f0c0ffee00000000000010", true),
        ("65F0C0FFEE00000000000010", true),
        ("", false),
        ("65f0c0ffee0000000000001", false),
        ("65f0c0ffee000000000000101", false),
        ("../../../etc/passwd", false),
        ("{\\\"$ne\\\":1}", false),
        ("\\u0000", false),
        ("６５f0c0ffee00000000000010", false),
    ] {
        let Request::Room(RoomRequest::JoinRoom(room)) =
            decode(&format!(r#"{{"action":"join_room","room_id":"{id}"}}"#)).unwrap()
        else {
            panic!("another action");
        };
        assert_eq!(room.room_id.resolve().map_err(|error| error.code).is_ok(), is_found, "{id}");
        if !is_found {
            assert_eq!(room.room_id.resolve().unwrap_err().code, Code::NotFound);
        }
    }
}

#[test]
fn errors_never_repeat_a_value() {
    for field in ["password", "email", "username"] {
        for value in [r#"["hunter2"]"#, r#"{"hunter2":1}"#, "4815162342"] {
            let sample = object(samples::REQUESTS[0].text);
            let error = decode(&with_raw(&sample, field, value)).unwrap_err();
            assert!(!error.message.contains("hunter2") && !error.message.contains("4815"), "{error}");
        }
    }
    let error = decode(r#"{"action":"set_status","status":"hunter2"}"#).unwrap_err();
    assert_eq!(error.message, "must be one of `online`, `away`, `busy`, `offline`");
}

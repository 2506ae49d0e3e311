//! Stage one: what is a request at all.

use super::decode;
use crate::protocol::{Code, Envelope, RequestId, failure, success};

#[test]
fn envelope_keeps_what_every_request_has() {
    let text = r#"{"request_id":1e2,"token":"t","action":"x.y","a":1,"b":[true]}"#;
    let envelope = Envelope::decode(text).unwrap();
    assert_eq!(envelope.action(), "x.y");
    assert_eq!(envelope.request_id().unwrap().as_json(), "1e2");
    assert_eq!(envelope.token(), Some("t"));
    let fields = serde_json::Value::Object(envelope.fields_json().unwrap());
    assert_eq!(fields, serde_json::json!({"a": 1, "b": [true]}));
}

#[test]
fn request_id_comes_back_as_it_was_written() {
    for id in [r#""a""#, r#""\u00e9\n""#, r#""""#, "0", "-1", "1.50", "1e2", "12345678901234567890123"] {
        let text = format!(r#"{{"action":"ping","request_id":{id}}}"#);
        let envelope = Envelope::decode(&text).unwrap();
        let reply = success(envelope.request_id(), &serde_json::json!({"a": 1}));
        assert_eq!(reply.text(), format!(r#"{{"success":true,"request_id":{id},"a":1}}"#));
    }
}

#[test]
fn request_id_comes_back_whatever_else_is_wrong() {
    for text in [
        r#"{"request_id":7}"#,
        r#"{"action":null,"request_id":7}"#,
        r#"{"action":"ping","token":{"$ne":null},"request_id":7}"#,
        r#"{"action":"ping","a":1,"a":2,"request_id":7}"#,
        r#"{"action":"ping","a":1e999,"request_id":7}"#,
    ] {
        let refused = Envelope::decode(text).unwrap_err();
        assert_eq!(refused.request_id.as_ref().map(RequestId::as_json), Some("7"), "{text}");
        assert_eq!(refused.error.code, Code::InvalidParams, "{text}");
    }
}

#[test]
fn unreadable_frames_are_answered_with_a_null_id() {
    let refused = Envelope::decode(r#"{"action":"ping","request_id":7"#).unwrap_err();
    assert!(refused.is_unreadable());
    assert_eq!(
        failure(refused.request_id.as_ref(), &refused.error).text(),
        r#"{"success":false,"request_id":null,"code":"invalid_json","message":"Invalid JSON"}"#
    );
}

#[test]
fn sec_47_unknown_actions_are_refused_by_name() {
    for action in ["", "Ping", "ping ", "login\\u0000", "socket.io", "__proto__"] {
        let refused = decode(&format!(r#"{{"action":"{action}"}}"#)).unwrap_err();
        assert_eq!(refused.code, Code::UnknownAction, "{action}");
    }
}

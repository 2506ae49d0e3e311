//! JSON that is odd, broken or hostile, and what becomes of it.

use super::decode;

/// What becomes of a text: a code, or a code and a field.
const ODDITIES: &[(&str, &str)] = &[
    // No JSON object at all.
    ("", "invalid_json"),
    (" ", "invalid_json"),
    ("\u{feff}{\"action\":\"ping\"}", "invalid_json"),
    ("\u{a0}{\"action\":\"ping\"}", "invalid_json"),
    ("\0", "invalid_json"),
    ("null", "invalid_json"),
    ("true", "invalid_json"),
    ("7", "invalid_json"),
    ("\"ping\"", "invalid_json"),
    ("[]", "invalid_json"),
    ("[{\"action\":\"ping\"}]", "invalid_json"),
    ("ping", "invalid_json"),
    ("{", "invalid_json"),
    ("}", "invalid_json"),
    ("{]", "invalid_json"),
    ("{\"action\"", "invalid_json"),
    ("{\"action\":", "invalid_json"),
    ("{\"action\":\"ping\"", "invalid_json"),
    ("{\"action\":\"ping}", "invalid_json"),
    ("{\"action\":\"ping\",}", "invalid_json"),
    ("{,\"action\":\"ping\"}", "invalid_json"),
    ("{\"action\" \"ping\"}", "invalid_json"),
    ("{\"action\":\"ping\"}}", "invalid_json"),
    ("{\"action\":\"ping\"}{\"action\":\"ping\"}", "invalid_json"),
    ("{\"action\":\"ping\"}\n{\"action\":\"ping\"}", "invalid_json"),
    ("{\"action\":\"ping\"} x", "invalid_json"),
    ("{\"action\":\"ping\"}\0", "invalid_json"),
    ("{action:\"ping\"}", "invalid_json"),
    ("{'action':'ping'}", "invalid_json"),
    ("{1:\"ping\"}", "invalid_json"),
    ("{null:\"ping\"}", "invalid_json"),
    ("{\"action\":ping}", "invalid_json"),
    ("// c\n{\"action\":\"ping\"}", "invalid_json"),
    ("{\"action\":\"ping\"/*c*/}", "invalid_json"),
    ("{\"action\":\"pi\nng\"}", "invalid_json"),
    ("{\"action\":\"pi\tng\"}", "invalid_json"),
    ("{\"action\":\"pi\0ng\"}", "invalid_json"),
    ("{\"action\":\"\\x70ing\"}", "invalid_json"),
    ("{\"action\":\"\\u12\"}", "invalid_json"),
    ("{\"action\":\"\\u12g4\"}", "invalid_json"),
    ("{\"action\":\"ping\",\"\\ud800\":1}", "invalid_json"),
    // Numbers that are none.
    ("{\"action\":\"ping\",\"a\":NaN}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":Infinity}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":-Infinity}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":+1}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":01}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":-}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":-01}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":.5}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":1.}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":1e}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":0x10}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":1_000}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":undefined}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":TRUE}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":[1,]}", "invalid_json"),
    ("{\"action\":\"ping\",\"a\":[}", "invalid_json"),
    // Objects that are no sound request.
    ("{}", "invalid_params action"),
    ("{\"Action\":\"ping\"}", "invalid_params action"),
    ("{\"action\":{\"$ne\":null}}", "invalid_params action"),
    ("{\"action\":\"ping\",\"action\":\"logout\"}", "invalid_params action"),
    ("{\"action\":\"ping\",\"\\u0061ction\":\"logout\"}", "invalid_params action"),
    ("{\"action\":\"\\ud800\"}", "invalid_params action"),
    ("{\"action\":\"ping\",\"token\":\"a\",\"token\":\"b\"}", "invalid_params token"),
    ("{\"action\":\"ping\",\"token\":{\"$ne\":null}}", "invalid_params token"),
    ("{\"action\":\"ping\",\"token\":\"\\udc00\"}", "invalid_params token"),
    ("{\"action\":\"ping\",\"request_id\":1,\"request_id\":2}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"request_id\":{}}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"request_id\":null}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"request_id\":true}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"request_id\":1e309}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"request_id\":\"\\ud83d\"}", "invalid_params request_id"),
    ("{\"action\":\"ping\",\"a\":\"\\ud800\"}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":\"\\udc00\\ud800\"}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":\"\\ud800\\u0041\"}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":[\"\\ud800\"]}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":{\"\\ud800\":1}}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":1e309}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":[{\"b\":-1e309}]}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":{\"b\":1,\"b\":2}}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":[{\"b\":1,\"\\u0062\":2}]}", "invalid_params a"),
    ("{\"action\":\"ping\",\"a\":1}", "invalid_params a"),
    ("{\"action\":\"ping\",\"\":1}", "invalid_params "),
    (
        "{\"action\":\"sync\",\"cursors\":{\"65f0c0ffee00000000000010\":1,\"65f0c0ffee00000000000010\":2}}",
        "invalid_params cursors",
    ),
    (
        "{\"action\":\"sync\",\"cursors\":{\"65f0c0ffee00000000000010\":1,\"65F0C0FFEE00000000000010\":2}}",
        "invalid_params cursors",
    ),
    // Odd, and right.
    ("\t\r\n {\"action\"\t:\n\"ping\"\r}\n", "ok"),
    ("{\"\\u0061ction\":\"\\u0070ing\"}", "ok"),
    ("{\"request_id\":\"\\ud83d\\ude00\",\"action\":\"ping\"}", "ok"),
    ("{\"request_id\":\"\u{2028}\",\"action\":\"ping\"}", "ok"),
    ("{\"request_id\":-0,\"action\":\"ping\"}", "ok"),
    ("{\"request_id\":123456789012345678901234567890,\"action\":\"ping\"}", "ok"),
];

fn outcome(text: &str) -> String {
    match decode(text) {
        Ok(_) => "ok".to_owned(),
        Err(error) => match &error.field {
            Some(field) => format!("{} {field}", error.code.as_str()),
            None => error.code.as_str().to_owned(),
        },
    }
}

#[test]
fn sec_42_only_sound_json_is_read() {
    for (text, expected) in ODDITIES {
        assert_eq!(outcome(text), *expected, "{text:?}");
    }
    assert!(ODDITIES.len() >= 80);
}

#[test]
fn sec_42_broken_text_is_refused_in_every_field() {
    for sample in super::samples::REQUESTS {
        let fields = super::object(sample.text);
        for field in fields.keys() {
            for value in [r#""\ud800""#, r#""a\udfff""#, r#"["\ud800"]"#, r#"{"\ud800":1}"#] {
                super::assert_refused(&super::with_raw(&fields, field, value), field);
            }
        }
    }
}

#[test]
fn sec_42_a_frame_cut_anywhere_is_unreadable() {
    for sample in super::samples::REQUESTS {
        for (end, _) in sample.text.char_indices() {
            assert_eq!(outcome(&sample.text[..end]), "invalid_json", "{}", &sample.text[..end]);
        }
    }
}

#[test]
fn names_of_fields_are_echoed_in_part() {
    let name = "\\u0001".repeat(5_000);
    let error = decode(&format!("{{\"action\":\"ping\",\"{name}\":1}}")).unwrap_err();
    assert_eq!(error.field.unwrap().chars().count(), 64);
}

//! Random input never panics, and every refusal can be answered.

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::{object, samples};
use crate::protocol::{Envelope, Request, failure};

/// Decodes, and answers if it is refused.
fn handle(text: &str) {
    let (request_id, error) = match Envelope::decode(text) {
        Err(refused) => (refused.request_id, refused.error),
        Ok(envelope) => match Request::decode(&envelope) {
            Ok(_) => return,
            Err(error) => (envelope.request_id().cloned(), error),
        },
    };
    let reply = object(failure(request_id.as_ref(), &error).text());
    assert_eq!(reply["success"], false);
    assert!(reply["code"].is_string() && reply["message"].is_string());
}

/// JSON of any shape, of the keys and values that matter here.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<f64>().prop_map(|value| value.to_string()),
        ".*".prop_map(|text| serde_json::Value::from(text).to_string()),
        "\\\\u[0-9a-f]{4}".prop_map(|escape| format!("\"{escape}\"")),
    ];
    leaf.prop_recursive(20, 64, 8, |inner| {
        let key = prop_oneof![
            Just("action".to_owned()),
            Just("room_id".to_owned()),
            "[a-c$]{0,2}".prop_map(String::from)
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key, inner), 0..8).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sec_42_random_text_never_panics(text in ".*") {
        handle(&text);
    }

    #[test]
    fn sec_42_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        handle(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn sec_42_random_json_never_panics(text in json()) {
        handle(&text);
    }

    #[test]
    fn sec_42_random_values_in_requests_never_panic(
        sample in 0..samples::REQUESTS.len(), field in any::<prop::sample::Index>(), value in json(),
    ) {
        let fields = object(samples::REQUESTS[sample].text);
        let keys: Vec<&String> = fields.keys().collect();
        handle(&super::with_raw(&fields, keys[field.index(keys.len())], &value));
    }

    #[test]
    fn sec_42_damaged_requests_never_panic(
        sample in 0..samples::REQUESTS.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = samples::REQUESTS[sample].text.as_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        handle(&String::from_utf8_lossy(&bytes));
    }
}

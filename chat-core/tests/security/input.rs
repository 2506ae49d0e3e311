//! Fields that no action has, and values that no field has.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::domain::Visibility;
use chat_core::protocol::request::ACTIONS;
use serde_json::{Map, Value, json};

use crate::stage::{REQUESTS, Stage, Standing, action};

/// What an attacker would like to set.
const FOREIGN: [&str; 18] = [
    "sender_id",
    "seq",
    "timestamp",
    "role",
    "conversation",
    "conversation_id",
    "message_id",
    "entry_id",
    "by",
    "user_id",
    "room_id",
    "chat_id",
    "is_admin",
    "state",
    "$where",
    "__proto__",
    "constructor",
    "messages_so_far",
];

#[tokio::test]
async fn sec_34_fields_that_an_action_does_not_have_are_refused_by_name() {
    let mut stage = Stage::new(Visibility::Public, Standing::Owner).await;
    let mut own_fields: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for template in REQUESTS {
        let fields: Map<String, Value> = serde_json::from_str(template).unwrap();
        own_fields.entry(action(template)).or_default().extend(fields.keys().cloned());
    }
    let actions: Vec<&str> = own_fields.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = ACTIONS.iter().copied().collect();
    assert_eq!(actions, expected.into_iter().collect::<Vec<_>>(), "each action has an example");
    let before = stage.stored();
    let mut cases = 0;
    for template in REQUESTS {
        for name in FOREIGN {
            if own_fields[&action(template)].contains(name) {
                continue;
            }
            let mut request: Value = serde_json::from_str(&stage.fill(template)).unwrap();
            request[name] = json!("000000000000000000000001");
            let reply = stage.actor.request(request.clone()).await;
            assert_eq!(
                (reply["code"].as_str(), reply["field"].as_str()),
                (Some("invalid_params"), Some(name)),
                "{request} got {reply}"
            );
            cases += 1;
        }
    }
    assert_eq!(stage.stored(), before);
    println!("{cases} cases");
    assert!(cases >= 60);
}

/// Values that some query language or some loose comparison would take for a match.
const OPERATORS: [&str; 12] = [
    r#"{"$ne":null}"#,
    r#"{"$gt":""}"#,
    r#"{"$where":"1"}"#,
    r#"{"$regex":".*"}"#,
    r#"{"$in":["x"]}"#,
    r#"[{"$ne":null}]"#,
    "[[]]",
    "true",
    "false",
    "null",
    "1e309",
    "-1",
];

#[tokio::test]
async fn sec_41_operators_and_wrong_types_never_match_anything() {
    let mut stage = Stage::new(Visibility::Public, Standing::Owner).await;
    let mut anonymous = stage.world.stranger();
    let mut cases = 0;
    for template in REQUESTS {
        let request: Map<String, Value> = serde_json::from_str(&stage.fill(template)).unwrap();
        let names = request.keys().cloned().chain(["token".into()]).collect::<BTreeSet<String>>();
        for name in names {
            for operator in OPERATORS {
                let mut changed = request.clone();
                changed.insert(name.clone(), json!("$operator"));
                let text = Value::from(changed).to_string().replace("\"$operator\"", operator);
                let before = stage.stored();
                let reply = Stage::raw(&mut stage.actor, &text).await;
                refused(&text, &reply, &name);
                let reply = Stage::raw(&mut anonymous, &text).await;
                refused(&text, &reply, &name);
                assert_eq!(stage.stored(), before, "{text} changed something");
                cases += 2;
            }
        }
    }
    println!("{cases} cases");
    // The connection was not harmed by any of it.
    let reply = stage.actor.ok(json!({"action": "list_sessions"})).await;
    assert_eq!(reply["success"], true);
}

fn refused(request: &str, reply: &str, field: &str) {
    let reply: Value = serde_json::from_str(reply).unwrap();
    let found = (reply["success"].as_bool(), reply["code"].as_str(), reply["field"].as_str());
    assert_eq!(found, (Some(false), Some("invalid_params"), Some(field)), "{request} got {reply}");
}

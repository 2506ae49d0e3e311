//! The examples of docs/protocol.md are what this code reads and writes.
//!
//! A fenced block says what it is behind `json`: `request`, `reply NAME`, `refusal NAME` or `push NAME`,
//! where NAME is that of the golden example that it must equal.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{decode, samples};
use crate::hub::{DisconnectReason, Frame};
use crate::protocol::request::ACTIONS;
use crate::protocol::{Code, Envelope};

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    std::fs::read_to_string(path).unwrap()
}

/// Kind, name and text of every example.
fn examples() -> Vec<(String, String, String)> {
    let document = document();
    let mut examples = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```json") else { continue };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (kind, name) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
        examples.push((kind.to_owned(), name.to_owned(), text.join("\n")));
    }
    examples
}

#[track_caller]
fn assert_documented(kind: &str, golden: &[(&str, Frame)]) {
    let mut missing: BTreeSet<&str> = golden.iter().map(|(name, _)| *name).collect();
    for (_, name, text) in examples().iter().filter(|(of, _, _)| of == kind) {
        let (_, frame) = golden.iter().find(|(golden, _)| golden == name).unwrap_or_else(|| {
            panic!("the document shows a {kind} {name:?} that does not exist");
        });
        let [shown, written]: [Value; 2] =
            [text.as_str(), frame.text()].map(|text| serde_json::from_str(text).unwrap());
        assert_eq!(shown, written, "{kind} {name}");
        missing.remove(name.as_str());
    }
    assert!(missing.is_empty(), "the document lacks examples of {kind} {missing:?}");
}

#[test]
fn documented_requests_are_read() {
    let mut actions = BTreeSet::new();
    for (_, _, text) in examples().iter().filter(|(kind, _, _)| kind == "request") {
        let request = decode(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        actions.insert(request.action_name());
    }
    assert_eq!(actions, ACTIONS.iter().copied().collect());
}

#[test]
fn documented_requests_show_every_field() {
    let fields = |text: &str| -> BTreeSet<(String, String)> {
        let action = Envelope::decode(text).unwrap().action().to_owned();
        super::object(text).into_iter().map(|(key, _)| (action.clone(), key)).collect()
    };
    let shown: BTreeSet<_> = examples()
        .iter()
        .filter(|(kind, _, _)| kind == "request")
        .flat_map(|(_, _, text)| fields(text))
        .collect();
    let known: BTreeSet<_> = samples::REQUESTS.iter().flat_map(|sample| fields(sample.text)).collect();
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "the document's examples lack {missing:?}");
}

#[test]
fn documented_replies_are_written() {
    assert_documented("reply", &samples::replies());
}

#[test]
fn documented_refusals_are_written() {
    assert_documented("refusal", &samples::refusals());
}

#[test]
fn documented_pushes_are_written() {
    assert_documented("push", &samples::pushes());
}

#[test]
fn every_example_is_tested() {
    for (kind, _, text) in examples() {
        assert!(["request", "reply", "refusal", "push"].contains(&kind.as_str()), "{kind}: {text}");
    }
}

#[test]
fn every_code_and_close_code_is_documented() {
    let document = document();
    for code in Code::ALL {
        assert!(document.contains(&format!("| `{}` |", code.as_str())), "{}", code.as_str());
    }
    for reason in [
        DisconnectReason::Shutdown,
        DisconnectReason::ProtocolError,
        DisconnectReason::Binary,
        DisconnectReason::InvalidUtf8,
        DisconnectReason::TooBig,
        DisconnectReason::Panic,
        DisconnectReason::Unreadable,
        DisconnectReason::TokenExpired,
        DisconnectReason::SessionEnded,
        DisconnectReason::NotAuthenticated,
        DisconnectReason::TooSlow,
        DisconnectReason::Flood,
        DisconnectReason::TooManyConnections,
        DisconnectReason::NodeCutOff,
    ] {
        let row = format!("| {} | `{}` |", reason.close_code().unwrap(), reason.close_text());
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn every_limit_of_the_greeting_is_documented() {
    let document = document();
    let (_, table) = document.split_once("## Limits").unwrap();
    let pushes = samples::pushes();
    let (_, greeting) = pushes.iter().find(|(name, _)| *name == "connected").unwrap();
    for name in super::object(greeting.text())["limits"].as_object().unwrap().keys() {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
}

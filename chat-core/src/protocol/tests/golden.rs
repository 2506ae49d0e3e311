//! Golden files: a change of the wire shows as a change of a file.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{decode, samples};
use crate::hub::Frame;
use crate::limits::hard;
use crate::protocol::request::ACTIONS;

fn listing(frames: &[(&str, Frame)]) -> String {
    frames.iter().fold(String::new(), |mut text, (name, frame)| {
        let value: serde_json::Value = serde_json::from_str(frame.text()).unwrap();
        assert!(value.is_object() && frame.len() <= hard::OUTGOING_FRAME_BYTES);
        writeln!(text, "{name}\n    {}", frame.text()).unwrap();
        text
    })
}

#[test]
fn requests_are_read_as_before() {
    let listing = samples::REQUESTS.iter().fold(String::new(), |mut text, sample| {
        let request = decode(sample.text).unwrap_or_else(|error| panic!("{}: {error}", sample.text));
        assert!(sample.text.starts_with(&format!("{{\"action\":\"{}\"", request.action_name())));
        writeln!(text, "{}\n    {request:?}", sample.text).unwrap();
        text
    });
    insta::assert_snapshot!(listing);
}

#[test]
fn every_action_has_an_example() {
    let examples: BTreeSet<&str> =
        samples::REQUESTS.iter().map(|sample| decode(sample.text).unwrap().action_name()).collect();
    assert_eq!(examples, ACTIONS.iter().copied().collect());
}

#[test]
fn replies_are_written_as_before() {
    insta::assert_snapshot!(listing(&samples::replies()));
}

#[test]
fn refusals_are_written_as_before() {
    insta::assert_snapshot!(listing(&samples::refusals()));
}

#[test]
fn pushes_are_written_as_before() {
    insta::assert_snapshot!(listing(&samples::pushes()));
}

#[test]
fn a_frame_is_a_reply_or_a_push_and_says_which() {
    let is = |frame: &Frame, key: &str| super::object(frame.text()).contains_key(key);
    for (name, frame) in samples::replies().iter().chain(&samples::refusals()) {
        assert!(is(frame, "success") && !is(frame, "action"), "{name}");
    }
    for (name, frame) in &samples::pushes() {
        assert!(is(frame, "action") && !is(frame, "success"), "{name}");
    }
}

#[test]
fn only_pushes_of_entries_have_a_seq() {
    for (name, frame) in &samples::pushes() {
        let push = super::object(frame.text());
        let is_entry = push.contains_key("message_id") || push.contains_key("entry_id");
        assert_eq!(push.contains_key("seq"), is_entry, "{name}: cursors follow every seq");
    }
}

#[test]
fn secrets_are_not_shown_by_debug() {
    for sample in samples::REQUESTS {
        let shown = format!("{:?}", decode(sample.text).unwrap());
        for secret in
            ["correct horse", "battery staple", "kXg0pJ2v", "Zm9vYmFy", "alice@example.org", "Hello"]
        {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

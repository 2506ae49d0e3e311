//! The real binary and archives that are not as they must be: each is refused with a line
//! that says where, before anything is written.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};
use support::archives::{Place, export, import, on, populated};

/// An archive as lines, to be spoiled.
#[derive(Clone)]
struct Lines(Vec<String>);

impl Lines {
    /// The number of the first line that contains `text`.
    fn find(&self, text: &str) -> usize {
        let found = self.0.iter().position(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no line has {text}")) + 1
    }

    /// Replaces `from` by `to` in a line, once.
    fn replace(&mut self, line: usize, from: &str, to: &str) {
        let text = &mut self.0[line - 1];
        assert!(text.contains(from), "{text} has no {from}");
        *text = text.replacen(from, to, 1);
    }

    /// Writes the last line anew: what is wrong is not the checksum.
    fn seal(&mut self) {
        self.0.pop();
        let count = |kind: &str| {
            let start = format!("{{\"{kind}\":");
            self.0.iter().filter(|line| line.starts_with(&start)).count()
        };
        let counts = format!(
            "{{\"accounts\":{},\"conversations\":{},\"entries\":{},\"read_positions\":{}}}",
            count("account"),
            count("conversation"),
            count("entry"),
            count("read")
        );
        let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(self.text().as_bytes()));
        self.0.push(format!("{{\"end\":{{\"counts\":{counts},\"sha256\":\"{hash}\"}}}}"));
    }

    fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }
}

/// A place with an archive, and its lines.
async fn archive() -> (Place, Lines) {
    archive_of(5).await
}

/// The same with `count` messages in the largest room.
async fn archive_of(count: usize) -> (Place, Lines) {
    let place = Place::new();
    populated(&place.path("source"), count).await;
    export(&place.path("source"), &place.path("good.jsonl"));
    let lines = place.text("good.jsonl").lines().map(str::to_owned).collect();
    (place, Lines(lines))
}

/// The one line that says why an archive is refused; nothing may have been made.
fn refusal(place: &Place, bytes: &[u8]) -> String {
    fs::write(place.path("bad.jsonl"), bytes).unwrap();
    let refused = import(&place.path("copy"), &place.path("bad.jsonl"));
    assert_eq!(refused.code, Some(65), "{}", refused.log);
    assert_eq!(refused.log.lines().count(), 1, "{}", refused.log);
    assert!(!place.path("copy").exists(), "nothing is made, not even a directory: {}", refused.log);
    assert!(!refused.log.contains("argon2"), "no value is repeated: {}", refused.log);
    refused.log
}

/// Spoils the archive, and expects a refusal that names the line and says `what`.
fn expect(place: &Place, lines: &Lines, line: usize, what: &str) {
    let said = refusal(place, lines.text().as_bytes());
    assert!(
        said.contains(&format!("bad.jsonl, line {line}: ")) && said.contains(what),
        "{line} {what}: {said}"
    );
}

#[tokio::test]
async fn a_sealed_archive_is_as_good_as_an_exported_one() {
    let (place, mut lines) = archive().await;
    let text = lines.text();
    lines.seal();
    assert_eq!(lines.text(), text, "the tests here know how the last line is made");
    let done = import(&place.path("copy"), &place.path("good.jsonl"));
    assert_eq!(done.code, Some(0), "{}", done.log);
}

#[tokio::test]
async fn truncated_and_changed_archives_are_refused() {
    let (place, lines) = archive().await;
    let (text, last) = (lines.text(), lines.0.len());
    for cut in [1, 40, text.len() / 2, text.len() - 100] {
        let said = refusal(&place, &text.as_bytes()[..text.len() - cut]);
        assert!(
            said.contains("the archive ends within this line") || said.contains("is not complete"),
            "{said}"
        );
    }
    let mut short = lines.clone();
    short.0.pop();
    expect(&place, &short, last, "the archive ends before its last line");

    let mut flipped = lines.clone();
    let line = flipped.find("message 3");
    flipped.replace(line, "message 3", "message 7");
    expect(&place, &flipped, last, "the checksum is wrong");
    let mut flipped = lines.clone();
    let sum = flipped.0[last - 1].split('"').rev().nth(1).unwrap().to_owned();
    flipped.replace(last, &sum, &sum.chars().rev().collect::<String>());
    expect(&place, &flipped, last, "the checksum is wrong");
    let mut flipped = lines.clone();
    flipped.replace(last, "\"accounts\":5", "\"accounts\":4");
    expect(&place, &flipped, last, "the lines are not as many");

    let mut longer = lines;
    longer.0.push("{}".to_owned());
    expect(&place, &longer, last + 1, "nothing may follow");
    let mut bit = text.into_bytes();
    let middle = bit.len() / 2;
    bit[middle] ^= 0x80;
    refusal(&place, &bit);
}

#[tokio::test]
async fn what_is_no_archive_or_of_a_newer_version_is_refused() {
    let (place, lines) = archive().await;
    for foreign in
        ["hello\n", "\n", "{}\n", "[1]\n", "{\"format\":\"other\",\"version\":1}\n", "\u{1f}\u{8b}\u{8}\n"]
    {
        let said = refusal(&place, foreign.as_bytes());
        assert!(said.contains("line 1: this is no archive of chat-server"), "{foreign}: {said}");
    }
    let said = refusal(&place, b"");
    assert!(said.contains("it is not complete"), "{said}");
    let mut newer = lines.clone();
    newer.0[0] = "{\"format\":\"chat-archive\",\"version\":2,\"compressed\":true}".to_owned();
    newer.seal();
    expect(&place, &newer, 1, "format version 2, this chat-server reads version 1");
    let mut odd = lines;
    odd.replace(1, "\"version\":1", "\"version\":1,\"more\":2");
    odd.seal();
    expect(&place, &odd, 1, "the header is not as export writes it");
}

#[tokio::test]
async fn lines_that_export_does_not_write_are_refused() {
    let (place, lines) = archive().await;
    let (account, message) = (lines.find("\"username\":\"ann\""), lines.find("message 3"));
    let event = lines.find("\"role_changed\"");
    let room = lines.find("\"room\":");
    for (line, from, to, what) in [
        (account, "\"disabled\"", "\"colour\":1,\"disabled\"", "unknown field `colour`"),
        (account, "\"disabled\":false,", "", "missing field `disabled`"),
        (account, "\"disabled\":false", "\"disabled\":\"$argon2id$\"", "a value that cannot stand there"),
        (account, "\"disabled\"", "\"disabled\":false,\"disabled\"", "duplicate field `disabled`"),
        (account, "a@example.org", "nobody", "must be an e-mail address"),
        (message, "message 3", "message\\u00003", "a value that cannot stand there"),
        (message, "{\"entry\"", "{\"remark\"", "unknown variant `remark`"),
        (message, "{\"entry\"", "{ \"entry\"", "not as export writes it"),
        (message, "message 3", "message \\u0033", "not as export writes it"),
        (message, "\"}}}", "\"},\"event\":{\"created\":{}}}}", "either a message or an event"),
        (message, "}}}", "}}", "no JSON"),
        (message, "}}}", "}}}\r", "not as export writes it"),
        (event, "\"owner\"", "\"king\"", "unknown variant `king`"),
        (event, "role_changed", "renounced", "unknown variant `renounced`"),
        (room, "\"visibility\":\"", "\"visibility\":\"half", "unknown variant"),
        (
            room,
            "\"room\":{",
            "\"private\":[\"65f0c0ffee00000000000001\",\"65f0c0ffee00000000000002\"],\"room\":{",
            "either",
        ),
    ] {
        let mut spoiled = lines.clone();
        spoiled.replace(line, from, to);
        spoiled.seal();
        expect(&place, &spoiled, line, what);
    }
    let mut blank = lines;
    blank.0.insert(3, String::new());
    blank.seal();
    expect(&place, &blank, 4, "no JSON");
}

#[tokio::test]
async fn lines_out_of_order_are_refused() {
    let (place, lines) = archive().await;
    let (account, message) = (lines.find("{\"account\""), lines.find("message 3"));
    let conversations: Vec<usize> =
        (1..lines.0.len()).filter(|line| lines.0[line - 1].starts_with("{\"conversation\"")).collect();

    let mut swapped = lines.clone();
    swapped.0.swap(account - 1, account);
    swapped.seal();
    expect(&place, &swapped, account + 1, "is not in the order of ids");
    let mut swapped = lines.clone();
    swapped.0.swap(message - 1, message);
    swapped.seal();
    expect(&place, &swapped, message, "must follow, not");
    let mut twice = lines.clone();
    twice.0.insert(message, twice.0[message - 1].clone());
    twice.seal();
    expect(&place, &twice, message + 1, "must follow, not");
    let mut hole = lines.clone();
    hole.0.remove(message - 1);
    hole.seal();
    expect(&place, &hole, message, "must follow, not");
    let mut early = lines.clone();
    let first = early.0.remove(account - 1);
    early.0.insert(conversations[0], first);
    early.seal();
    expect(&place, &early, conversations[0] + 1, "comes behind a conversation");
    let mut headless = lines.clone();
    headless.0.remove(conversations[0] - 1);
    headless.seal();
    expect(&place, &headless, conversations[0], "an entry before the first conversation");
    let mut empty = lines.clone();
    empty.0.drain(conversations[0]..conversations[1] - 1);
    empty.seal();
    expect(&place, &empty, conversations[0] + 1, "has 0 entries");
    let mut swapped = lines;
    let second = swapped.0.split_off(conversations[1] - 1);
    let first = swapped.0.split_off(conversations[0] - 1);
    let (one, rest) = second.split_at(conversations[2] - conversations[1]);
    swapped.0.extend(one.iter().cloned());
    swapped.0.extend(first);
    swapped.0.extend(rest.iter().cloned());
    swapped.seal();
    expect(&place, &swapped, conversations[0] + one.len(), "is not in the order of ids");
}

#[tokio::test]
async fn logs_that_do_not_make_their_conversation_are_refused() {
    let (place, lines) = archive().await;
    let harbour = lines.find("\"name\":\"Harbour\",\"topic\":\"boats");
    let after = lines.0[harbour..].iter().position(|line| line.starts_with("{\"conversation\""));
    let after = after.map_or(lines.0.len(), |more| harbour + more + 1);
    let (ban, promotion) = (lines.find("\"banned\""), lines.find("\"role_changed\""));
    let read = lines.0.iter().rposition(|line| line.starts_with("{\"read\"")).unwrap() + 1;
    let mut strangers = lines.clone();
    strangers.0[read - 1] = "{\"read\":{\"user\":\"ffffffffffffffffffffffff\",\"seq\":2}}".to_owned();
    strangers.seal();
    expect(&place, &strangers, read, "cannot have read");
    for (line, from, to, at, what) in [
        (ban, "banned", "joined", after, "are not those that its entries make"),
        (promotion, "\"owner\"", "\"admin\"", after, "are not those that its entries make"),
        (harbour, "\"Harbour\"", "\"Harvard\"", after, "are not those of its latest change"),
        (harbour, "\"members\":3", "\"members\":4", after, "are not those that its entries make"),
        (harbour, "\"owners\":[", "\"owners\":[\"000000000000000000000000\",", after, "are not those"),
        (
            harbour,
            "\"created_at_ms\":",
            "\"created_at_ms\":1",
            harbour + 1,
            "was created by another or at another time",
        ),
        (
            harbour + 1,
            "{\"created\":{}}",
            "{\"updated\":{}}",
            harbour + 1,
            "does not begin with its creation",
        ),
        (ban, "\"banned\":{", "\"created\":{", ban, "unknown field"),
        (read, "\"seq\":", "\"seq\":99", read, "cannot have read"),
    ] {
        let mut spoiled = lines.clone();
        spoiled.replace(line, from, to);
        spoiled.seal();
        expect(&place, &spoiled, at, what);
    }
}

#[test]
fn commands_that_cannot_begin_say_why() {
    let place = Place::new();
    let run = |data: &Path, arguments: &[&str]| {
        let builder = arguments.iter().fold(on(data), |builder, argument| builder.arg(*argument));
        builder.run()
    };
    let missing = run(&place.path("none"), &["export", place.path("a.jsonl").to_str().unwrap()]);
    assert_eq!(missing.code, Some(73), "{}", missing.log);
    assert!(missing.log.contains("there is no database"), "{}", missing.log);
    assert!(!place.path("a.jsonl").exists());

    let missing = run(&place.path("copy"), &["import", place.path("none.jsonl").to_str().unwrap()]);
    assert_eq!(missing.code, Some(66), "{}", missing.log);
    assert!(missing.log.contains("cannot read") && missing.log.contains("none.jsonl"), "{}", missing.log);
    let directory = run(&place.path("copy"), &["import", place.path("").to_str().unwrap()]);
    assert_eq!(directory.code, Some(66), "{}", directory.log);
    assert!(directory.log.contains("is a directory"), "{}", directory.log);
    assert!(!place.path("copy").exists());

    for command in ["export", "import"] {
        assert_eq!(run(&place.path("copy"), &[command]).code, Some(64), "{command} needs a file");
        let memory = on(&place.path("copy")).set("store", "memory").arg(command).arg("a.jsonl").run();
        assert_eq!(memory.code, Some(64), "{}", memory.log);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_that_takes_no_more_ends_either_command() {
    let (place, _) = archive_of(500).await;
    let (source, full) = (place.path("source"), place.path("full.jsonl"));
    let limited = "trap '' XFSZ; ulimit -f 80";
    let ended = on(&source).arg("export").arg(full.to_str().unwrap()).after(limited).run();
    assert_eq!(ended.code, Some(73), "{}", ended.log);
    assert!(ended.log.contains("cannot write") && !full.exists(), "{}", ended.log);

    let good = place.path("good.jsonl");
    let limited = "trap '' XFSZ; ulimit -f 300";
    let ended = on(&place.path("copy")).arg("import").arg(good.to_str().unwrap()).after(limited).run();
    assert_eq!(ended.code, Some(74), "{}", ended.log);
    let done = import(&place.path("copy"), &good);
    assert_eq!(done.code, Some(0), "and it goes on: {}", done.log);
}

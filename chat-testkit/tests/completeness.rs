//! No case is forgotten: what the files of a suite define is what its list runs, every method of a port has a case
//! that names it, and every sentence of its contract one that `contract.txt` names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use chat_testkit::suite::Case;
use chat_testkit::{account_store, auth, presence_hub, room_store};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The cases that the files of a suite define, each with its documentation. A case is given `subject`.
fn defined_cases(suite: &str, subject: &str) -> BTreeMap<String, String> {
    let mut cases = BTreeMap::new();
    let folder = repository().join("chat-testkit/src").join(suite);
    for file in fs::read_dir(folder).expect("the folder of the suite") {
        let source = fs::read_to_string(file.expect("a file").path()).expect("a source file");
        let mut documentation = String::new();
        for line in source.lines() {
            if let Some(text) = line.strip_prefix("///") {
                documentation.push_str(text);
                continue;
            }
            let name = line
                .strip_prefix("pub(super) async fn ")
                .and_then(|rest| rest.split_once('('))
                .filter(|(_, arguments)| arguments.contains(&format!(": {subject})")))
                .map(|(name, _)| name.to_owned());
            if let Some(name) = name {
                let before = cases.insert(name.clone(), std::mem::take(&mut documentation));
                assert_eq!(before, None, "{name} is defined twice");
            }
            documentation.clear();
        }
    }
    cases
}

/// The methods of the port's trait, each with the sentences of its contract.
fn contract(port: &str) -> BTreeMap<String, Vec<String>> {
    let file = repository().join("chat-core/src/port").join(format!("{port}.rs"));
    let source = fs::read_to_string(file).expect("the file of the port");
    let name: String = port.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
    let (_, body) = source.split_once(&format!("\npub trait {name}:")).expect("the file defines the port");
    let (body, _) = body.split_once("\n}").expect("the trait ends");
    let (mut methods, mut documentation) = (BTreeMap::new(), Vec::new());
    for line in body.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("///") {
            documentation.extend(text.split_whitespace());
        } else if let Some(rest) = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn ")) {
            let (name, _) = rest.split_once('(').expect("a method has arguments");
            let text = std::mem::take(&mut documentation).join(" ");
            methods.insert(
                name.to_owned(),
                text.split_inclusive(". ").map(|one| one.trim().to_owned()).collect(),
            );
        }
    }
    methods
}

/// What `contract.txt` says: for each sentence of each method (`port.method`) the cases that hold it, or in
/// brackets why none can.
fn cases_by_sentence() -> BTreeMap<(String, String), Vec<&'static str>> {
    let (mut method, mut sentence) = (String::new(), String::new());
    let mut table = BTreeMap::<_, Vec<_>>::new();
    for line in include_str!("contract.txt").lines() {
        if let Some(case) = line.strip_prefix("    ") {
            table.entry((method.clone(), sentence.clone())).or_default().push(case);
        } else if let Some(text) = line.strip_prefix("  ") {
            text.clone_into(&mut sentence);
        } else {
            line.clone_into(&mut method);
        }
    }
    table
}

#[test]
fn every_sentence_of_the_contracts_has_a_case() {
    let suites = [
        ("room_store", names(room_store::CASES)),
        ("account_store", names(account_store::CASES)),
        ("presence_hub", names(presence_hub::CASES)),
        ("auth", names(auth::CASES)),
    ];
    let mut table = cases_by_sentence();
    for (port, listed) in suites {
        let mut unnamed: BTreeSet<&str> = listed.iter().copied().collect();
        for (method, sentences) in contract(port) {
            for sentence in sentences {
                let cases = table.remove(&(format!("{port}.{method}"), sentence.clone()));
                let cases = cases.unwrap_or_else(|| {
                    panic!(
                        "{port}.{method} now says {sentence:?}: which case holds it? add it to contract.txt"
                    )
                });
                for case in cases {
                    let is_reason = case.starts_with('(') && case.ends_with(')');
                    assert!(is_reason || listed.contains(&case), "{port} has no case {case}");
                    unnamed.remove(case);
                }
            }
        }
        assert!(unnamed.is_empty(), "of no sentence: {unnamed:?}");
    }
    assert!(table.is_empty(), "no contract says so any more: {:?}", table.keys());
}

fn names<S>(cases: &[Case<S>]) -> Vec<&'static str> {
    cases.iter().map(|case| case.name).collect()
}

fn check(suite: &str, subject: &str, listed: Vec<&'static str>) {
    let defined = defined_cases(suite, subject);
    let names: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(names.len(), listed.len(), "no case is listed twice");
    assert_eq!(defined.keys().map(String::as_str).collect::<BTreeSet<_>>(), names, "defined and listed");

    for (name, documentation) in &defined {
        let starts_with_a_method = documentation.trim_start().starts_with('`');
        assert!(starts_with_a_method, "{name} does not say which methods it is about");
    }
    let methods = contract(suite);
    assert!(methods.len() > 10, "the methods are found: {methods:?}");
    for method in methods.keys() {
        let has_case = defined.values().any(|documentation| documentation.contains(&format!("`{method}`")));
        assert!(has_case, "no case of {suite} is about {method}");
    }
}

#[test]
fn the_suite_for_room_stores_is_complete() {
    check("room_store", "Store", names(room_store::CASES));
}

#[test]
fn the_suite_for_account_stores_is_complete() {
    check("account_store", "Store", names(account_store::CASES));
}

#[test]
fn the_suite_for_hubs_is_complete() {
    check("presence_hub", "Hub", names(presence_hub::CASES));
}

#[test]
fn the_suite_for_auth_is_complete() {
    check("auth", "Accounts", names(auth::CASES));
}

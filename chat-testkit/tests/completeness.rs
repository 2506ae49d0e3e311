//! No case is forgotten: what the files of a suite define is what its list runs, and every method of a port has a
//! case that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

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

/// The methods of the port's trait.
fn methods(port: &str) -> BTreeSet<String> {
    let file = repository().join("chat-core/src/port").join(port);
    let source = fs::read_to_string(file).expect("the file of the port");
    let (_, body) = source.split_once("#[async_trait]\npub trait ").expect("the file defines the port");
    let (body, _) = body.split_once("\n}").expect("the trait ends");
    let signature = |line: &str| {
        let line = line.trim_start();
        let rest = line.strip_prefix("async fn ").or_else(|| line.strip_prefix("fn "))?;
        rest.split_once('(').map(|(name, _)| name.to_owned())
    };
    body.lines().filter_map(signature).collect()
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
    let methods = methods(&format!("{suite}.rs"));
    assert!(methods.len() > 10, "the methods are found: {methods:?}");
    for method in methods {
        let has_case = defined.values().any(|documentation| documentation.contains(&format!("`{method}`")));
        assert!(has_case, "no case of {suite} is about {method}");
    }
}

#[test]
fn the_suite_for_room_stores_is_complete() {
    check("room_store", "Store", room_store::CASES.iter().map(|case| case.name).collect());
}

#[test]
fn the_suite_for_account_stores_is_complete() {
    check("account_store", "Store", account_store::CASES.iter().map(|case| case.name).collect());
}

#[test]
fn the_suite_for_hubs_is_complete() {
    check("presence_hub", "Hub", presence_hub::CASES.iter().map(|case| case.name).collect());
}

#[test]
fn the_suite_for_auth_is_complete() {
    check("auth", "Accounts", auth::CASES.iter().map(|case| case.name).collect());
}

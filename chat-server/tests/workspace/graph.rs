//! What the workspace is built from: licences, sources, banned crates, and which crate
//! may know which. Lists of licences and bans are those of `deny.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;
use spdx::{Expression, ParseMode};

use crate::files::{root, text};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What `chat-core` must do without: databases, sockets, HTTP, TLS, log subscribers.
const NOT_IN_THE_ENGINE: [&str; 16] = [
    "async-nats",
    "axum",
    "http",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "mongodb",
    "native-tls",
    "redis",
    "reqwest",
    "rusqlite",
    "rustls",
    "socket2",
    "tokio-tungstenite",
    "tracing-subscriber",
    "tungstenite",
];

static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::read);

struct Graph {
    /// Every package of the graph, for all platforms and features.
    packages: Vec<Value>,
    /// For each member what it depends on among the members, by kind of dependency.
    members: BTreeMap<String, BTreeSet<(String, String)>>,
}

impl Graph {
    fn read() -> Self {
        let output = cargo(&["metadata", "--format-version", "1", "--locked", "--all-features"]);
        let metadata: Value = serde_json::from_str(&output).unwrap();
        let list = |key: &str| metadata[key].as_array().unwrap().clone();
        let ids: BTreeSet<String> = list("workspace_members").iter().map(string).collect();
        let packages = list("packages");
        let ours = packages.iter().filter(|package| ids.contains(&string(&package["id"])));
        let ours: Vec<Value> = ours.cloned().collect();
        let names: BTreeSet<String> = ours.iter().map(|package| string(&package["name"])).collect();
        let members = ours.iter().map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let known = dependencies.filter(|dependency| names.contains(&string(&dependency["name"])));
            let known = known.map(|dependency| {
                let kind = dependency["kind"].as_str().unwrap_or("normal");
                (kind.to_owned(), string(&dependency["name"]))
            });
            (string(&package["name"]), known.collect())
        });
        let members = members.collect();
        Self { packages, members }
    }

    /// What a member depends on among the members.
    fn known_to(&self, member: &str, kind: &str) -> Vec<&str> {
        let known = self.members.get(member).unwrap_or_else(|| panic!("there is no {member}"));
        known.iter().filter(|(of, _)| of == kind).map(|(_, name)| name.as_str()).collect()
    }
}

/// Runs cargo and answers what it prints. It may have to fetch crates that only other platforms need.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?} (try `cargo fetch --locked`): {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of everything that chat-core needs to run.
fn tree_of_the_engine(features: &[&str]) -> BTreeSet<String> {
    let arguments =
        ["tree", "--locked", "-p", "chat-core", "-e", "normal", "--prefix", "none", "--format", "{p}"];
    let tree = cargo(&[&arguments[..], features].concat());
    let names: BTreeSet<String> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert!(names.contains("tokio"), "{tree}");
    names
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

fn policy() -> toml::Table {
    text("deny.toml").parse().unwrap()
}

/// The strings of a list in `deny.toml`; of tables that of `key`.
fn listed(section: &str, list: &str, key: &str) -> BTreeSet<String> {
    let policy = policy();
    let entries = policy[section][list].as_array().unwrap();
    let name = |entry: &toml::Value| entry.get(key).unwrap_or(entry).as_str().unwrap().to_owned();
    entries.iter().map(name).collect()
}

#[test]
fn sec_91_every_licence_is_allowed() {
    let allowed = listed("licenses", "allow", "");
    for package in &GRAPH.packages {
        let licence = package["license"].as_str().unwrap_or("none");
        let expression = Expression::parse_mode(licence, ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{}: {licence}: {error}", package["name"]));
        let is_allowed = expression.evaluate(|requirement| allowed.contains(&requirement.to_string()));
        assert!(is_allowed, "{} is under {licence}", package["name"]);
    }
}

#[test]
fn sec_90_every_crate_comes_from_crates_io() {
    for package in &GRAPH.packages {
        let name = string(&package["name"]);
        match package["source"].as_str() {
            Some(source) => assert_eq!(source, CRATES_IO, "{name}"),
            None => assert!(GRAPH.members.contains_key(&name), "{name} is no member"),
        }
    }
    let lock = text("Cargo.lock");
    for source in lock.lines().filter_map(|line| line.strip_prefix("source = ")) {
        assert_eq!(source.trim_matches('"'), CRATES_IO);
    }
}

#[test]
fn sec_91_banned_crates_are_absent() {
    let banned = listed("bans", "deny", "crate");
    assert!(banned.len() >= 3);
    for package in &GRAPH.packages {
        assert!(!banned.contains(package["name"].as_str().unwrap()), "{} is banned", package["name"]);
    }
}

#[test]
fn sec_48_no_regular_expression_can_backtrack() {
    for name in ["fancy-regex", "onig", "pcre2", "regress"] {
        assert!(!GRAPH.packages.iter().any(|package| package["name"] == name), "{name}");
    }
}

#[test]
fn the_engine_knows_no_database_socket_or_http() {
    let names = tree_of_the_engine(&["--all-features"]);
    for name in NOT_IN_THE_ENGINE {
        assert!(!names.contains(name), "chat-core depends on {name}");
    }
}

#[test]
fn who_has_accounts_elsewhere_builds_no_password_hashing() {
    let names = tree_of_the_engine(&["--no-default-features"]);
    for name in ["argon2", "bcrypt", "mockall", "passwords", "precis-profiles"] {
        assert!(!names.contains(name), "chat-core without features depends on {name}");
    }
}

#[test]
fn dependencies_point_to_the_engine() {
    assert_eq!(GRAPH.known_to("chat-core", "normal"), [] as [&str; 0]);
    for member in ["chat-store-mongo", "chat-store-sqlite", "chat-transport-ws", "chat-testkit"] {
        assert_eq!(GRAPH.known_to(member, "normal"), ["chat-core"], "{member}");
    }
    for member in GRAPH.members.keys() {
        assert_eq!(GRAPH.known_to(member, "build"), [] as [&str; 0], "{member}");
        for kind in ["normal", "dev"] {
            let known = GRAPH.known_to(member, kind);
            assert!(!known.contains(&"chat-server"), "{member} knows the server");
            assert!(!known.contains(&"chat-examples"), "{member} knows the examples");
        }
    }
}

#[test]
fn adapters_do_not_know_each_other() {
    let is_adapter = |name: &str| name.starts_with("chat-store-") || name.starts_with("chat-transport-");
    for adapter in GRAPH.members.keys().filter(|name| is_adapter(name)) {
        for kind in ["normal", "dev"] {
            let known = GRAPH.known_to(adapter, kind);
            // The tests of an adapter may ask it for its own features.
            let mut others = known.iter().filter(|name| **name != adapter.as_str());
            assert!(!others.any(|name| is_adapter(name)), "{adapter} knows {known:?}");
        }
    }
}

//! How sources are kept, where a compiler or clippy does not look.

use std::path::{Path, PathBuf};

use crate::files::{ending_with, text};

/// Lines of a source file.
const LINES: usize = 500;

/// Hosts that an address may have, besides those that are made for examples.
const HOSTS: [&str; 8] = [
    "0.0.0.0",
    "127.0.0.1",
    "github.com",
    "keepachangelog.com",
    "semver.org",
    "spdx.org",
    "www.apache.org",
    "www.rfc-editor.org",
];

fn sources() -> Vec<(PathBuf, String)> {
    let paths = ending_with(&[".rs"]);
    assert!(paths.len() > 100, "{} sources", paths.len());
    paths.into_iter().map(|path| (path.clone(), text(path))).collect()
}

/// A source without the tests at its end.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// Whether this is a test or an example, and no part of a product.
fn is_test(path: &Path) -> bool {
    path.components()
        .any(|part| ["tests", "benches", "examples"].contains(&part.as_os_str().to_str().unwrap()))
        || path.ends_with("tests.rs")
}

#[test]
fn every_source_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! "), "{} does not open with //!", path.display());
    }
}

#[test]
fn no_source_is_long() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= LINES, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_skipped() {
    // Put together here, so that this file does not find itself.
    let banned = [
        ("to", "do!("),
        ("unimple", "mented!("),
        ("db", "g!("),
        ("#[ig", "nore"),
        ("FIX", "ME"),
        ("TO", "DO"),
    ];
    for (path, text) in sources() {
        for (begin, end) in banned {
            let word = format!("{begin}{end}");
            assert!(!text.contains(&word), "{} has {word}", path.display());
        }
    }
}

#[test]
fn sec_50_statements_take_values_as_parameters_only() {
    let store =
        sources().into_iter().filter(|(path, _)| path.to_string_lossy().contains("chat-store-sqlite/src"));
    let mut seen = 0;
    for (path, text) in store {
        seen += 1;
        for line in without_tests(&text).lines().filter(|line| line.contains("format!(")) {
            for word in ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WHERE "] {
                assert!(!line.contains(word), "{} puts a statement together: {line}", path.display());
            }
        }
    }
    assert!(seen > 10, "{seen} sources of the store");
}

#[test]
fn only_the_server_touches_the_system() {
    // What each library may not use. The embedded store is about files; servers for tests are processes with
    // directories.
    let environment =
        ["std::env", "env::var", "tokio::signal", "std::process::Command", "tracing_subscriber::"];
    let files = ["std::fs", "tokio::fs", "fs::File"];
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let Some(library) = path.iter().next().and_then(|part| part.to_str()) else { continue };
        let banned: Vec<&str> = match library {
            "chat-testkit" if path.starts_with("chat-testkit/src/mongod") => continue,
            "chat-core" | "chat-testkit" | "chat-transport-ws" => [&environment[..], &files[..]].concat(),
            "chat-store-sqlite" => environment.to_vec(),
            _ => continue,
        };
        for word in banned {
            assert!(!without_tests(&text).contains(word), "{} uses {word}", path.display());
        }
    }
}

#[test]
fn the_engine_reads_no_store_whole() {
    // These methods answer everybody's data; only commands of operators may ask for them.
    let mut seen = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| !is_test(path)) {
        let is_engine = ["chat", "auth", "hub", "protocol"]
            .iter()
            .any(|folder| path.starts_with(Path::new("chat-core/src").join(folder)));
        if is_engine || path.starts_with("chat-transport-ws") {
            seen += 1;
            for method in ["all_accounts", "all_conversations"] {
                assert!(!text.contains(method), "{} calls {method}", path.display());
            }
        }
    }
    assert!(seen > 50, "{seen} sources of the engine");
}

#[test]
fn addresses_are_local_or_made_for_examples() {
    let texts =
        [".rs", ".md", ".toml", ".yml", ".yaml", ".html", ".css", ".js", ".json", ".sql", ".sh", "run"];
    for path in ending_with(&texts) {
        // Tests of origins and proxies need hosts that are foreign.
        if is_test(&path) {
            continue;
        }
        for address in addresses(without_tests(&text(&path))) {
            let host = host(&address);
            assert!(is_harmless(&host), "{} names {address}", path.display());
        }
    }
}

/// Whether a host is listed, a word that stands for one, or reserved for examples.
fn is_harmless(host: &str) -> bool {
    let domain = host.trim_end_matches('.');
    let is_reserved = ["example", "example.com", "example.org", "invalid", "test"].iter().any(|reserved| {
        domain.strip_suffix(reserved).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    HOSTS.contains(&host) || is_reserved || !domain.contains('.')
}

/// What follows `http://` and the like, up to white space or a quote.
fn addresses(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for scheme in ["http", "https", "ws", "wss"] {
        for (begin, _) in text.match_indices(&format!("{scheme}://")) {
            let rest = &text[begin + scheme.len() + 3..];
            let ends = |c: char| c.is_whitespace() || "\"'`<>){}(…".contains(c);
            found.push(rest[..rest.find(ends).unwrap_or(rest.len())].to_owned());
        }
    }
    found.retain(|address| !address.is_empty());
    found
}

fn host(address: &str) -> String {
    let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(_) => authority.split_inclusive(']').next().unwrap_or_default().to_owned(),
        None => authority.split([':', '\\', ',', ';']).next().unwrap_or_default().to_owned(),
    }
}

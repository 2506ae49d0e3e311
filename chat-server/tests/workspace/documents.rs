//! Links in documents lead somewhere, and what documents name exists.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::files::{ending_with, root, text};

/// The command that runs all tests, as README.md tells it and `.ci/run` runs it.
const TEST_COMMAND: &str = "cargo test --workspace --locked";

/// The lines of a document that are no code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of all links that are no web addresses.
fn links(document: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose(document) {
        for (begin, _) in line.match_indices("](") {
            let rest = &line[begin + 2..];
            let target = &rest[..rest.find(')').unwrap_or_else(|| panic!("a link does not end: {line}"))];
            if !target.contains("://") {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors of a document's headings.
fn anchors(document: &str) -> BTreeSet<String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    let slug = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    headings.map(slug).collect()
}

/// `path` without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => assert!(plain.pop(), "{} leads out of the repository", path.display()),
            Component::CurDir => {}
            Component::Normal(_) | Component::Prefix(_) | Component::RootDir => plain.push(part),
        }
    }
    plain
}

#[test]
fn links_lead_somewhere() {
    let documents = ending_with(&[".md"]);
    assert!(documents.len() >= 8, "{documents:?}");
    for document in documents {
        let here = text(&document);
        for link in links(&here) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => plain(&document.parent().unwrap_or(Path::new("")).join(file)),
            };
            assert!(root().join(&target).exists(), "{} links to {link}", document.display());
            assert!(
                anchor.is_empty() || anchors(&text(&target)).contains(anchor),
                "{} links to {link}, and there is no such heading",
                document.display()
            );
        }
    }
}

/// Paths in backquotes: what looks like one is one.
#[test]
fn named_files_exist() {
    for document in ["README.md", "README.zh-CN.md", "ARCHITECTURE.md", "SECURITY.md"] {
        let here = text(document);
        let prose: Vec<&str> = prose(&here).collect();
        for named in prose.join("\n").split('`').skip(1).step_by(2) {
            let is_path = named.contains('/') && named.ends_with(".rs") && !named.contains([' ', '*', '{']);
            assert!(!is_path || root().join(named).exists(), "{document} names {named}");
        }
    }
}

#[test]
fn decisions_are_numbered_and_listed() {
    let list = text("docs/decisions/README.md");
    let records = ending_with(&[".md"]).into_iter().filter(|path| path.starts_with("docs/decisions"));
    let records: Vec<String> =
        records.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
    for (index, name) in records.iter().filter(|name| *name != "README.md").enumerate() {
        assert!(name.starts_with(&format!("{:04}-", index + 1)), "{name} has a number that is not the next");
        assert!(list.contains(&format!("({name})")), "{name} is not listed");
        let record = text(Path::new("docs/decisions").join(name));
        for heading in ["## Context", "## Decision", "## Consequences"] {
            assert!(record.contains(heading), "{name} has no {heading}");
        }
    }
}

#[test]
fn the_test_command_is_the_same_everywhere() {
    for document in ["README.md", "README.zh-CN.md", ".ci/run"] {
        assert!(text(document).contains(TEST_COMMAND), "{document} does not say {TEST_COMMAND}");
    }
}

#[test]
fn both_languages_show_the_same_code() {
    let code = |document: &str| -> Vec<String> {
        text(document).split("```").skip(1).step_by(2).map(str::to_owned).collect()
    };
    assert_eq!(code("README.md"), code("README.zh-CN.md"));
}

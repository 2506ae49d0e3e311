//! The table of SECURITY.md names exactly the security tests that there are.
//!
//! A security test is a function `sec_NN_…`; NN is the number of the requirement. Run with
//! `UPDATE_DOCS=1` to write the column of tests anew; what a requirement says is written by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::files::{ending_with, root, text};

const BEGIN: &str = "<!-- requirements begin";
const END: &str = "<!-- requirements end -->";

/// A requirement's number. Those with a letter come last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Number {
    letter: String,
    number: u32,
}

impl Number {
    /// Of `13_hashes_are_argon2id` and of `13`.
    fn parse(text: &str) -> Option<Self> {
        let number = text.split('_').next()?;
        let digits = number.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let letter = number[..number.len() - digits.len()].to_uppercase();
        Some(Self { letter, number: digits.parse().ok()? })
    }
}

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SEC-{}{}", self.letter, self.number)
    }
}

/// The tests of each requirement, from the sources.
fn tests() -> BTreeMap<Number, BTreeSet<String>> {
    let mut tests: BTreeMap<Number, BTreeSet<String>> = BTreeMap::new();
    for path in ending_with(&[".rs"]) {
        for line in text(&path).lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("async ").unwrap_or(line);
            let Some(rest) = line.strip_prefix("fn sec_") else { continue };
            let name = rest.split('(').next().unwrap_or_default();
            let number = Number::parse(name).unwrap_or_else(|| panic!("sec_{name} has no number"));
            tests.entry(number).or_default().insert(format!("sec_{name}"));
        }
    }
    tests
}

/// The rows of the table: what each requirement says.
fn requirements(table: &str) -> BTreeMap<Number, String> {
    let rows = table.lines().filter(|line| line.starts_with("| SEC-"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 3, "{line}");
        let number = Number::parse(cells[0].trim_start_matches("SEC-"));
        (number.unwrap_or_else(|| panic!("{line} has no number")), cells[1].to_owned())
    });
    rows.collect()
}

#[test]
fn every_security_requirement_names_its_tests() {
    let document = text("SECURITY.md");
    let (before, rest) = document.split_once(BEGIN).expect("the marker before the table");
    let (marker, rest) = rest.split_once("-->\n").expect("the end of the marker");
    let (table, after) = rest.split_once(END).expect("the marker after the table");

    let (requirements, tests) = (requirements(table), tests());
    let untested: Vec<&Number> = requirements.keys().filter(|number| !tests.contains_key(number)).collect();
    assert!(untested.is_empty(), "no test is left for {untested:?}");
    let mut expected = String::from("\n| Number | What holds | Tests |\n|---|---|---|\n");
    for (number, names) in &tests {
        let said = requirements.get(number);
        let said = said.unwrap_or_else(|| panic!("SECURITY.md has no row for {number}: {names:?}"));
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        writeln!(expected, "| {number} | {said} | {} |", names.join(", ")).unwrap();
    }
    expected.push('\n');
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(
            root().join("SECURITY.md"),
            format!("{before}{BEGIN}{marker}-->\n{expected}{END}{after}"),
        )
        .unwrap();
    } else {
        assert_eq!(table, expected, "SECURITY.md is out of date; run this test with UPDATE_DOCS=1");
    }
}

//! What every manifest says.

use std::path::Path;

use toml::{Table, Value};

use crate::files::{ending_with, text};

fn table(path: &Path) -> Table {
    text(path).parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn members() -> Vec<(String, Table)> {
    let root = table(Path::new("Cargo.toml"));
    let members = root["workspace"]["members"].as_array().unwrap().iter();
    let members = members.map(|member| member.as_str().unwrap());
    members.map(|member| (member.to_owned(), table(&Path::new(member).join("Cargo.toml")))).collect()
}

#[test]
fn sec_92_unsafe_code_is_forbidden_everywhere() {
    let root = table(Path::new("Cargo.toml"));
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    for (member, manifest) in members() {
        let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        assert_eq!(inherits, Some(&Value::Boolean(true)), "{member} has lints of its own");
    }
}

#[test]
fn every_manifest_belongs_to_the_workspace() {
    let found = ending_with(&["Cargo.toml"]);
    assert_eq!(found.len(), members().len() + 1, "{found:?}");
}

#[test]
fn versions_and_licences_are_those_of_the_workspace() {
    for (member, manifest) in members() {
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert_eq!(
                manifest["package"][key].get("workspace"),
                Some(&Value::Boolean(true)),
                "{member}: {key}"
            );
        }
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, dependency) in manifest.get(section).and_then(Value::as_table).into_iter().flatten() {
                assert_eq!(dependency.get("workspace"), Some(&Value::Boolean(true)), "{member}: {name}");
            }
        }
    }
}

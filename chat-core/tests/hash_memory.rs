//! What stays of the memory in which passwords were hashed. A program of its own, because it measures all of the process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Arc;
use std::time::Duration;

use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::domain::Email;
use chat_core::memory::MemoryStore;
use chat_core::port::{Auth, ClientContext, Credentials, Registration};
use chat_core::time::SystemClock;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const USERS: usize = 60;
/// Memory is given back when no password was hashed for a while.
const PATIENCE: Duration = Duration::from_secs(60);

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn sign_in(auth: Arc<PasswordAuth>, number: usize) {
    let (username, password) = (format!("user{number}x"), "correct horse");
    let email = Email::new("someone@example.org").unwrap();
    let wanted =
        Registration { username: username.clone(), password: password.into(), email, display_name: None };
    let client = ClientContext::default();
    auth.register(wanted, &client).await.unwrap();
    auth.login(Credentials { username, password: password.into() }, &client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_54_memory_that_passwords_were_hashed_in_is_given_back() {
    let settings = AuthSettings { hashes_at_once: 4, ..AuthSettings::default() };
    let memory_kib = u64::from(settings.argon2_memory_kib);
    let auth =
        Arc::new(PasswordAuth::new(Arc::new(MemoryStore::new()), Arc::new(SystemClock), settings).unwrap());
    let before = resident_kib();
    let users: JoinSet<()> = (0..USERS).map(|number| sign_in(Arc::clone(&auth), number)).collect();
    users.join_all().await;
    let after = resident_kib();
    let began = Instant::now();
    while resident_kib() > before + memory_kib / 2 && began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    let kept = resident_kib().saturating_sub(before);
    println!(
        "{before} KiB before, {after} KiB behind {USERS} users, {kept} KiB more {:?} later",
        began.elapsed()
    );
    assert!(kept <= memory_kib / 2, "{kept} KiB are kept");
    assert!(after <= before + 5 * memory_kib, "{after} KiB while 4 were hashed at once");
}

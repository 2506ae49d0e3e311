//! What the log says of security, and what it never says.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_core::domain::Email;
use chat_core::port::Auth;
use secrecy::ExposeSecret;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::fixture::{Fixture, from, login, registration, secret};

#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn sec_87_security_events_are_logged_without_secrets_or_typed_names() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(LevelFilter::TRACE);
    let _guard = tracing::subscriber::set_default(subscriber.with_ansi(false).finish());

    let fixture = Fixture::new();
    let client = from("192.0.2.7");
    let mut wanted = registration("alice", "canary-password");
    wanted.email = Email::new("canary@example.org").unwrap();
    let user = fixture.auth.register(wanted, &client).await.unwrap();
    let grant = login(&*fixture.auth, "alice", "canary-password", &client).await.unwrap();
    for _ in 0..7 {
        login(&*fixture.auth, "canary-name\nforged line", "canary-guess", &client).await.unwrap_err();
    }
    let next = fixture.auth.refresh(&grant.refresh_token, &client).await.unwrap();
    tokio::time::advance(Duration::from_secs(31)).await;
    fixture.auth.refresh(&grant.refresh_token, &client).await.unwrap_err();
    let last = login(&*fixture.auth, "alice", "canary-password", &client).await.unwrap();
    let (old, new) = (secret("canary-password"), secret("canary-new-password"));
    fixture.auth.change_password(user, last.identity.session_id, old, new).await.unwrap();
    fixture.auth.set_disabled(user, true).await.unwrap();
    fixture.auth.set_disabled(user, false).await.unwrap();

    let text = log.text();
    for event in [
        "registered",
        "login_succeeded",
        "login_failed",
        "login_throttled",
        "refresh_token_reused",
        "sessions_ended",
        "password_changed",
        "account_disabled",
        "account_enabled",
    ] {
        assert!(text.contains(&format!("event=\"{event}\"")), "{event} in {text}");
    }
    assert!(text.contains(&user.to_string()) && text.contains("192.0.2.7"));
    assert!(!text.contains("canary") && !text.contains("forged"), "{text}");
    for grant in [&grant, &next, &last] {
        assert!(!text.contains(grant.token.expose_secret()));
        assert!(!text.contains(grant.refresh_token.expose_secret()));
    }
}

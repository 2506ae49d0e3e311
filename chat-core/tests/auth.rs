//! Every `Auth` at hand against the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::domain::Email;
use chat_core::memory::MemoryStore;
use chat_core::port::{Auth, ClientContext, Credentials, Registration};
use chat_core::time::SystemClock;
use chat_testkit::auth::{AuthHarness, SignedIn};
use chat_testkit::double::FakeAuth;
use secrecy::ExposeSecret;

const PASSWORD: &str = "amber-Lighthouse-7-sparrow";

/// `PasswordAuth` with hashes that cost little and failures that are answered at once.
#[derive(Default)]
struct Passwords(Option<Arc<dyn Auth>>);

#[async_trait]
impl AuthHarness for Passwords {
    async fn start(&mut self) -> Arc<dyn Auth> {
        let settings = AuthSettings {
            argon2_memory_kib: 64,
            argon2_passes: 1,
            failed_login_delay: Duration::ZERO,
            ..AuthSettings::default()
        };
        let store = Arc::new(MemoryStore::new());
        let auth = PasswordAuth::new(store, Arc::new(SystemClock), settings).expect("settings that work");
        Arc::clone(self.0.insert(Arc::new(auth)))
    }

    async fn sign_in(&mut self, name: &str) -> SignedIn {
        let auth = self.0.as_ref().expect("it was started");
        let client = ClientContext::default();
        if auth.find_user(name).await.expect("an answer").is_none() {
            let registration = Registration {
                username: name.to_owned(),
                password: PASSWORD.into(),
                email: Email::new("someone@example.org").expect("an address"),
                display_name: None,
            };
            auth.register(registration, &client).await.expect("a registration");
        }
        let credentials = Credentials { username: name.to_owned(), password: PASSWORD.into() };
        let grant = auth.login(credentials, &client).await.expect("a login");
        SignedIn { user_id: grant.identity.user_id, token: grant.token.expose_secret().to_owned() }
    }
}

/// The double is an `Auth` like any other.
#[derive(Default)]
struct Fake(Option<Arc<FakeAuth>>);

#[async_trait]
impl AuthHarness for Fake {
    async fn start(&mut self) -> Arc<dyn Auth> {
        Arc::clone(self.0.insert(Arc::default())) as Arc<dyn Auth>
    }

    async fn sign_in(&mut self, name: &str) -> SignedIn {
        let auth = self.0.as_ref().expect("it was started");
        let known = auth.find_user(name).await.expect("an answer");
        let user_id = known.unwrap_or_else(|| auth.add_user(name));
        SignedIn { user_id, token: auth.sign_in(user_id) }
    }
}

mod password_auth {
    use super::Passwords;

    chat_testkit::auth_tests!(Passwords::default());
}

mod fake_auth {
    use super::Fake;

    chat_testkit::auth_tests!(Fake::default());
}

//! The suite for `Auth` is itself tested: each one here tells one lie, and at least the case named beside it must
//! find out.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::domain::{DisplayName, Profile, SessionInfo};
use chat_core::error::AuthError;
use chat_core::id::{SessionId, UserId};
use chat_core::port::{Auth, ClientContext, Credentials, Grant, Identity, Registration};
use chat_core::time::Timestamp;
use chat_testkit::auth::{self, AuthHarness, SignedIn};
use chat_testkit::double::FakeAuth;
use chat_testkit::suite;
use secrecy::SecretString;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    EveryTokenIsInternal,
    TokensAreTrimmed,
    OneSessionForAll,
    FindsEverybody,
    AbsenceIsAnError,
    InventsProfiles,
    ProfilesHaveOtherNames,
    DisplayNameForgotten,
    OnlyTheLatestSession,
    EndsNothing,
    EndsAnybodysSession,
    EverySessionEnded,
    RefreshMakesASession,
    NamesAreNotUnique,
    LoginTellsWhy,
    LoginSharesTheSession,
    PasswordChangedBlindly,
    ChangeAnswersNobody,
}

/// Each lie with a case that must find it out.
const LIES: &[(Lie, &str)] = &[
    (Lie::EveryTokenIsInternal, "an_unknown_token_is_invalid"),
    (Lie::TokensAreTrimmed, "a_changed_token_is_invalid"),
    (Lie::OneSessionForAll, "every_sign_in_is_a_session_of_its_own"),
    (Lie::FindsEverybody, "an_unknown_name_finds_nobody"),
    (Lie::AbsenceIsAnError, "an_unknown_name_finds_nobody"),
    (Lie::InventsProfiles, "unknown_users_have_no_profile"),
    (Lie::ProfilesHaveOtherNames, "profiles_agree_with_names"),
    (Lie::DisplayNameForgotten, "a_display_name_is_shown"),
    (Lie::OnlyTheLatestSession, "sessions_are_listed_the_latest_used_first"),
    (Lie::EndsNothing, "an_ended_session_is_over_and_others_are_not"),
    (Lie::EndsAnybodysSession, "only_own_sessions_can_be_ended"),
    (Lie::EverySessionEnded, "ended_sessions_are_told_if_anybody_asks"),
    (Lie::RefreshMakesASession, "a_refresh_keeps_the_session"),
    (Lie::NamesAreNotUnique, "a_name_is_given_once"),
    (Lie::LoginTellsWhy, "a_failed_login_does_not_tell_why"),
    (Lie::LoginSharesTheSession, "who_registers_can_sign_in"),
    (Lie::PasswordChangedBlindly, "a_password_is_changed_only_with_the_present_one"),
    (Lie::ChangeAnswersNobody, "a_new_password_ends_other_sessions"),
];

#[test]
fn every_lie_is_found_out() {
    for (lie, case) in LIES {
        let failing = suite::failing(auth::CASES, || auth::start(LyingHarness { lie: *lie, honest: None }));
        assert!(failing.contains(case), "{lie:?} is not found out by {case}, only by {failing:?}");
    }
}

struct LyingHarness {
    lie: Lie,
    honest: Option<Arc<FakeAuth>>,
}

#[async_trait]
impl AuthHarness for LyingHarness {
    async fn start(&mut self) -> Arc<dyn Auth> {
        let honest = self.honest.insert(Arc::default());
        Arc::new(Lying { lie: self.lie, honest: Arc::clone(honest) })
    }

    async fn sign_in(&mut self, name: &str) -> SignedIn {
        let auth = self.honest.as_ref().expect("it was started");
        let known = auth.find_user(name).await.expect("an answer");
        let user_id = known.unwrap_or_else(|| auth.add_user(name));
        SignedIn { user_id, token: auth.sign_in(user_id) }
    }
}

/// An honest double that lies in one point.
#[derive(Debug)]
struct Lying {
    lie: Lie,
    honest: Arc<FakeAuth>,
}

impl Lying {
    fn tells(&self, lie: Lie) -> bool {
        self.lie == lie
    }
}

#[async_trait]
impl Auth for Lying {
    async fn authenticate(&self, token: &str, client: &ClientContext) -> Result<Identity, AuthError> {
        let token = if self.tells(Lie::TokensAreTrimmed) { token.trim_end_matches('x') } else { token };
        let identity = match self.honest.authenticate(token, client).await {
            Err(AuthError::InvalidToken) if self.tells(Lie::EveryTokenIsInternal) => {
                return Err(AuthError::Internal("what is that?".into()));
            }
            answer => answer?,
        };
        let one_session = self.tells(Lie::OneSessionForAll).then(|| SessionId::from_bytes([1; 12]));
        Ok(Identity { session_id: one_session.unwrap_or(identity.session_id), ..identity })
    }

    async fn find_user(&self, name: &str) -> Result<Option<UserId>, AuthError> {
        match self.honest.find_user(name).await? {
            None if self.tells(Lie::FindsEverybody) => Ok(Some(UserId::generate())),
            None if self.tells(Lie::AbsenceIsAnError) => Err(AuthError::NotFound),
            found => Ok(found),
        }
    }

    async fn profiles(&self, users: Vec<UserId>) -> Result<Vec<Profile>, AuthError> {
        let mut profiles = self.honest.profiles(users.clone()).await?;
        let display_name = DisplayName::new("Somebody").expect("a display name");
        if self.tells(Lie::ProfilesHaveOtherNames) {
            for profile in &mut profiles {
                profile.username = "somebody".to_owned();
            }
        }
        if self.tells(Lie::InventsProfiles) && profiles.is_empty() {
            let profile = |user_id| Profile {
                user_id,
                username: "ghost".to_owned(),
                display_name: display_name.clone(),
                last_seen: None,
            };
            profiles = users.into_iter().map(profile).collect();
        }
        Ok(profiles)
    }

    async fn register(
        &self,
        registration: Registration,
        client: &ClientContext,
    ) -> Result<UserId, AuthError> {
        match self.honest.register(registration, client).await {
            Err(AuthError::UsernameTaken) if self.tells(Lie::NamesAreNotUnique) => Ok(UserId::generate()),
            answer => answer,
        }
    }

    async fn login(&self, credentials: Credentials, client: &ClientContext) -> Result<Grant, AuthError> {
        if self.tells(Lie::LoginTellsWhy) && self.honest.find_user(&credentials.username).await?.is_none() {
            return Err(AuthError::NotFound);
        }
        let mut grant = self.honest.login(credentials, client).await?;
        if self.tells(Lie::LoginSharesTheSession) {
            grant.identity.session_id = SessionId::from_bytes([1; 12]);
        }
        Ok(grant)
    }

    async fn refresh(&self, token: &SecretString, client: &ClientContext) -> Result<Grant, AuthError> {
        let mut grant = self.honest.refresh(token, client).await?;
        if self.tells(Lie::RefreshMakesASession) {
            grant.identity.session_id = SessionId::generate();
        }
        Ok(grant)
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<SessionInfo>, AuthError> {
        let mut sessions = self.honest.sessions(user).await?;
        if self.tells(Lie::OnlyTheLatestSession) {
            sessions.truncate(1);
        }
        Ok(sessions)
    }

    async fn end_session(&self, user: UserId, session: SessionId) -> Result<(), AuthError> {
        match self.lie {
            Lie::EndsNothing => Ok(()),
            Lie::EndsAnybodysSession => {
                self.honest.end_elsewhere(session);
                Ok(())
            }
            _ => self.honest.end_session(user, session).await,
        }
    }

    async fn change_password(
        &self,
        user: UserId,
        keep: SessionId,
        old: SecretString,
        new: SecretString,
    ) -> Result<Vec<SessionId>, AuthError> {
        match self.honest.change_password(user, keep, old, new).await {
            Err(AuthError::InvalidCredentials) if self.tells(Lie::PasswordChangedBlindly) => Ok(Vec::new()),
            Ok(_) if self.tells(Lie::ChangeAnswersNobody) => Ok(Vec::new()),
            answer => answer,
        }
    }

    async fn set_display_name(&self, user: UserId, name: DisplayName) -> Result<(), AuthError> {
        if self.tells(Lie::DisplayNameForgotten) {
            return Ok(());
        }
        self.honest.set_display_name(user, name).await
    }

    async fn ended_since(&self, since: Timestamp) -> Result<Vec<(UserId, SessionId)>, AuthError> {
        let mut ended = self.honest.ended_since(since).await?;
        if self.tells(Lie::EverySessionEnded) {
            ended.push((UserId::generate(), SessionId::generate()));
        }
        Ok(ended)
    }
}

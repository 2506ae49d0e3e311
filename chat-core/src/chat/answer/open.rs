//! What anybody may ask: signing in, and whether the server is there.

use secrecy::ExposeSecret as _;

use super::Anybody;
use crate::error::ActionError;
use crate::port::{Credentials, Registration};
use crate::protocol::reply::{AuthenticateReply, LoginReply, PongReply, UserReply};
use crate::protocol::request::{Authenticate, Login, Nothing, RefreshToken, Register};
use crate::protocol::table::AnswersOpen;

impl AnswersOpen for Anybody<'_> {
    async fn register(&self, register: Register) -> Result<UserReply, ActionError> {
        let engine = &self.call.chat.engine;
        let Register { username, password, email, display_name } = register;
        let registration = Registration { username, password, email, display_name };
        let user_id = engine.change(engine.auth.register(registration, &self.call.client(None))).await?;
        Ok(UserReply { user_id })
    }

    async fn login(&self, login: Login) -> Result<LoginReply, ActionError> {
        let engine = &self.call.chat.engine;
        let credentials = Credentials { username: login.username, password: login.password };
        let ends = engine.ends();
        let grant = engine.change(engine.auth.login(credentials, &self.call.client(login.device))).await?;
        let bound = self.call.shared.bind(engine, &grant.identity, grant.token.expose_secret(), ends).await;
        if let Err(refused) = bound {
            // Nobody will ever have the tokens of this session; if it cannot be ended it expires. The refusal does
            // not wait for that: the connection may be closing.
            let (engine, user, session) = (engine.clone(), grant.identity.user_id, grant.identity.session_id);
            let tasks = engine.tasks.clone();
            tasks.spawn(async move { drop(engine.change(engine.auth.end_session(user, session)).await) });
            return Err(refused);
        }
        Ok(LoginReply::from(grant))
    }

    async fn authenticate(&self, request: Authenticate) -> Result<AuthenticateReply, ActionError> {
        let engine = &self.call.chat.engine;
        let identity = self.call.shared.sign_in(engine, request.token.expose_secret(), self.caller).await?;
        Ok(AuthenticateReply::new(&identity, engine.clock.now()))
    }

    async fn refresh_token(&self, refresh: RefreshToken) -> Result<LoginReply, ActionError> {
        let engine = &self.call.chat.engine;
        let grant =
            engine.change(engine.auth.refresh(&refresh.refresh_token, &self.call.client(None))).await?;
        Ok(LoginReply::from(grant))
    }

    async fn ping(&self, _: Nothing) -> Result<PongReply, ActionError> {
        Ok(PongReply::new(self.call.chat.engine.clock.now()))
    }
}

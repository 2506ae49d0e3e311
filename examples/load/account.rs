//! Users for the load: registered anew in each run, signed in once. Further connections use the token,
//! because hashing a password costs the server as much as thousands of messages.

use anyhow::Context;
use data_encoding::HEXLOWER;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};

use super::connection::{Connection, Target};

/// Connections that are set up at once.
const AT_ONCE: usize = 16;

/// A user and its token.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) username: String,
    token: String,
}

impl Account {
    /// So many new users.
    pub(crate) async fn register(target: &Target, count: u32) -> anyhow::Result<Vec<Self>> {
        let (run, password) = (random()?, random()?);
        let registered = stream::iter(0..count).map(|number| {
            let username = format!("load{run}x{number}");
            Self::register_one(target, username, &password)
        });
        registered.buffered(AT_ONCE).try_collect().await
    }

    async fn register_one(target: &Target, username: String, password: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(target).await?;
        let email = "load@localhost";
        let account =
            json!({"action": "register", "username": username, "password": password, "email": email});
        connection.request(account).await?;
        let login = json!({"action": "login", "username": username, "password": password});
        let token = text(&connection.request(login).await?, "token")?;
        connection.close().await;
        Ok(Self { username, token })
    }

    /// A connection on which this user is signed in.
    pub(crate) async fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let mut connection = Connection::open(target).await?;
        connection.request(json!({"action": "authenticate", "token": self.token})).await?;
        Ok(connection)
    }

    /// A connection for each of these users.
    pub(crate) async fn connect_all(target: &Target, accounts: &[Self]) -> anyhow::Result<Vec<Connection>> {
        stream::iter(accounts).map(|account| account.connect(target)).buffered(AT_ONCE).try_collect().await
    }

    /// A new room of these users; the first owns it. They join before they connect for the load, so that nobody
    /// is told of each other's joins.
    pub(crate) async fn room(target: &Target, members: &[Self]) -> anyhow::Result<String> {
        let (owner, others) = members.split_first().context("a room has members")?;
        let mut connection = owner.connect(target).await?;
        let create = json!({"action": "create_room", "room_name": "Load"});
        let room = text(&connection.request(create).await?, "room_id")?;
        connection.close().await;
        let room_id = room.as_str();
        let joins = stream::iter(others).map(async |member| {
            let mut connection = member.connect(target).await?;
            connection.request(json!({"action": "join_room", "room_id": room_id})).await?;
            connection.close().await;
            anyhow::Ok(())
        });
        joins.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(room)
    }
}

/// A text in a reply.
pub(crate) fn text(reply: &Value, field: &str) -> anyhow::Result<String> {
    let text = reply[field].as_str().with_context(|| format!("the reply has no {field}: {reply}"))?;
    Ok(text.to_owned())
}

fn random() -> anyhow::Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

//! Commands to a server, each over a connection of its own, so that they work on whatever runtime they are sent from.

use std::time::Duration;

use mongodb::Client;
use mongodb::bson::Document;
use mongodb::error::Result;
use mongodb::options::{ClientOptions, Credential, ServerAddress};

/// How long a server that listens may take for the first answer, on a busy machine.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The first user of a server that requires one.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: String,
    pub(super) password: String,
}

impl Login {
    /// `user:password@`, as it stands in an address.
    pub(super) fn in_uri(login: Option<&Self>) -> String {
        login.map(|login| format!("{}:{}@", login.user, login.password)).unwrap_or_default()
    }

    fn credential(&self) -> Credential {
        Credential::builder()
            .username(self.user.clone())
            .password(self.password.clone())
            .source("admin".to_owned())
            .build()
    }
}

/// A client for just the server at this port of 127.0.0.1, whatever it is part of.
pub(super) fn client(port: u16, login: Option<&Login>) -> Result<Client> {
    let options = ClientOptions::builder()
        .hosts(vec![ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(port) }])
        .direct_connection(true)
        .server_selection_timeout(ANSWER_DEADLINE)
        .connect_timeout(ANSWER_DEADLINE)
        .credential(login.map(Login::credential))
        .retry_writes(false)
        .retry_reads(false)
        .build();
    Client::with_options(options)
}

/// Sends one command to the database `admin`.
pub(super) async fn run(port: u16, login: Option<&Login>, command: Document) -> Result<Document> {
    client(port, login)?.database("admin").run_command(command).await
}

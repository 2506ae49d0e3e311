//! Writes a database as a chat system written in PHP leaves it, with all its flaws, to try out taking it over:
//!
//! ```sh
//! cargo run --release -p chat-store-mongo --example php_database -- --uri mongodb://127.0.0.1:27017
//! chat-server migrate --dry-run --mongodb-database chat_system
//! ```
//!
//! The database must not exist. user0 to user3 have no flaw and sign in with `correct horse 0` to `correct horse 3`.

#![allow(clippy::print_stdout, reason = "an example talks to whoever tries it")]

use std::process::ExitCode;

use chat_testkit::php_database::{PhpDatabase, password};
use mongodb::Client;

const USAGE: &str = "options (with their defaults):
  --uri mongodb://127.0.0.1:27017  --database chat_system
  --users 1000  --rooms 100  --messages 100000  --seed 1";

#[derive(Debug)]
struct Options {
    uri: String,
    database: String,
    content: PhpDatabase,
}

fn options() -> Option<Options> {
    let mut options = Options {
        uri: "mongodb://127.0.0.1:27017".to_owned(),
        database: "chat_system".to_owned(),
        content: PhpDatabase { users: 1_000, rooms: 100, messages: 100_000, seed: 1 },
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--uri" => options.uri = value,
            "--database" => options.database = value,
            "--users" => options.content.users = value.parse().ok()?,
            "--rooms" => options.content.rooms = value.parse().ok()?,
            "--messages" => options.content.messages = value.parse().ok()?,
            "--seed" => options.content.seed = value.parse().ok()?,
            _ => return None,
        }
    }
    let PhpDatabase { users, rooms, .. } = options.content;
    (users >= 4 && rooms >= 2).then_some(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(Options { uri, database, content }) = options() else {
        println!("{USAGE}");
        return ExitCode::from(64);
    };
    match write(&uri, &database, content).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn write(uri: &str, name: &str, content: PhpDatabase) -> Result<(), Box<dyn std::error::Error>> {
    let database = Client::with_uri_str(uri).await?.database(name);
    if !database.list_collection_names().await?.is_empty() {
        return Err(format!("the database {name} exists; choose another with --database").into());
    }
    content.write(&database).await?;
    println!("{name}: {content:?}; user0 signs in with {:?}", password(0));
    Ok(())
}

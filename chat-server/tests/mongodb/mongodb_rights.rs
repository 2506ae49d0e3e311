//! Users of MongoDB: what they must be allowed, what they need not be, and that nobody sees their passwords. And
//! connections to it that nobody can listen to.

use std::fs;

use chat_testkit::mongod::{Mongod, MongodOptions};
use mongodb::bson::{Document, doc};
use mongodb::{Client, Database};

use crate::place::{complaint, contents, on};
use crate::support::people::text;
use crate::support::{Builder, Server};

const DATABASE: &str = "chat_system";
/// The password of every user here, in the clear and as connection strings have it.
const PASSWORD: [&str; 2] = ["canary/&@:%1", "canary%2F%26%40%3A%251"];

/// A server that requires users and runs no scripts.
async fn guarded() -> Mongod {
    let options = MongodOptions { require_auth: true, arguments: vec!["--noscripting".to_owned()] };
    Mongod::start_with(options).await
}

/// The database as this user sees it.
async fn database(uri: &str) -> Database {
    Client::with_uri_str(uri).await.unwrap().database(DATABASE)
}

/// Makes a user; answers the connection string with its name and password.
async fn user(mongod: &Mongod, name: &str, role: &str) -> String {
    let roles = doc! { "role": role, "db": DATABASE };
    let create = doc! { "createUser": name, "pwd": PASSWORD[0], "roles": [roles] };
    database(&mongod.uri()).await.run_command(create).await.unwrap();
    uri_of(mongod, name)
}

fn uri_of(mongod: &Mongod, name: &str) -> String {
    format!("mongodb://{name}:{}@127.0.0.1:{}/?authSource={DATABASE}", PASSWORD[1], mongod.port())
}

/// A command in the documentation, after the words that it begins with.
fn documented(begin: &str) -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(begin));
    line.unwrap_or_else(|| panic!("the documentation has no {begin}")).trim_end_matches(')').to_owned()
}

async fn assert_not_allowed(builder: Builder) {
    let ended = builder.set("log_level", "trace").try_start().expect_err("the user may not");
    assert_eq!(ended.code, Some(77), "{}", ended.log);
    assert!(complaint(&ended).contains("readWrite"), "{}", ended.log);
    assert!(!ended.log.contains("canary"), "{}", ended.log);
}

#[tokio::test]
async fn sec_77_a_user_that_may_only_read_and_write_the_database_is_enough() {
    let mongod = guarded().await;
    let create = documented("db.createUser(").replace("passwordPrompt()", &format!("\"{}\"", PASSWORD[0]));
    let create: Document = serde_json::from_str(&create).unwrap();
    let create = doc! { "createUser": create.get_str("user").unwrap(), "pwd": PASSWORD[0],
    "roles": create.get("roles").unwrap() };
    database(&mongod.uri()).await.run_command(create).await.unwrap();

    let server = on(&uri_of(&mongod, "chat"), DATABASE).start();
    let (mut ann, mut bob) = (server.newcomer("ann").await, server.newcomer("bob").await);
    let room = server.room_of(&mut [&mut ann, &mut bob]).await;
    ann.ok(text(&room, "hello")).await;
    assert_eq!(bob.history(&room).await.len(), 1);
    assert!(server.log().contains("on one disk only"), "{}", server.log());

    let chat = Client::with_uri_str(uri_of(&mongod, "chat")).await.unwrap();
    let other = database(&mongod.uri()).await.client().database("other");
    other.collection("kept").insert_one(doc! { "a": 1 }).await.unwrap();
    assert!(chat.database("other").drop().await.is_err(), "it drops another database");
    assert!(chat.database("other").collection::<Document>("kept").find_one(doc! {}).await.is_err());
    for command in [
        doc! { "createUser": "eve", "pwd": "x", "roles": ["root"] },
        doc! { "grantRolesToUser": "chat", "roles": ["root"] },
        doc! { "shutdown": 1 },
        doc! { "getLog": "global" },
        doc! { "getParameter": "*" },
        doc! { "fsync": 1 },
        doc! { "replSetGetConfig": 1 },
    ] {
        for database in ["admin", DATABASE] {
            let shown = command.to_string();
            let refused = chat.database(database).run_command(command.clone()).await;
            assert!(refused.is_err(), "{shown} on {database}");
        }
    }
    let scripted = doc! { "$where": "true" };
    assert!(chat.database(DATABASE).collection::<Document>("users").find_one(scripted).await.is_err());
}

#[tokio::test]
async fn a_user_that_may_not_write_or_has_another_password_is_refused_and_writes_nothing() {
    let mongod = guarded().await;
    let reader = user(&mongod, "reader", "read").await;
    let writer = user(&mongod, "writer", "readWrite").await;
    let root = database(&mongod.uri()).await;

    assert_not_allowed(on(&reader, DATABASE)).await;
    assert!(root.list_collection_names().await.unwrap().is_empty(), "it laid out the database");
    on(&writer, DATABASE).start();
    let before = contents(&root).await;
    assert_not_allowed(on(&reader, DATABASE)).await;
    assert_not_allowed(on(&writer.replace("writer", "nobody"), DATABASE)).await;
    assert_not_allowed(on(&writer.replace(PASSWORD[1], "canary-of-another"), DATABASE)).await;
    assert_not_allowed(on(&writer, "another_database")).await;
    let stranger = format!("mongodb://127.0.0.1:{}", mongod.port());
    assert_not_allowed(on(&stranger, DATABASE)).await;
    assert_eq!(contents(&root).await, before, "something was written");
}

#[tokio::test]
async fn sec_81_the_password_of_the_database_shows_nowhere() {
    let mongod = guarded().await;
    let uri = user(&mongod, "chat", "readWrite").await;
    let server = on(&uri, DATABASE).set("log_level", "trace").start();
    let mut ann = server.newcomer("ann").await;
    let room = ann.create_room("Harbour").await;
    ann.ok(text(&room, "hello")).await;
    mongod.pause();
    let reply = ann.request(text(&room, "lost")).await;
    assert_eq!(reply["success"], false, "{reply}");
    mongod.resume();
    mongod.kill();
    ann.request(text(&room, "lost as well")).await;

    let mut shown: Vec<(&str, String)> =
        ["/readyz", "/metrics", "/healthz"].map(|path| (path, server.ask_admin(path).body)).into();
    let process = format!("/proc/{}/cmdline", server.process_id());
    shown.push(("the command line", fs::read_to_string(process).unwrap()));
    shown.push(("the page", server.get("/").body));
    let check = on(&uri, DATABASE).arg("--check-config").run();
    assert!(check.output.contains("mongodb_uri = \"[redacted]\""), "{}", check.output);
    shown.push(("--check-config", check.output + &check.log));
    shown.push(("the log", server.into_stopped_log()));
    assert!(shown.iter().all(|(_, text)| !text.is_empty()));
    for (place, text) in shown {
        assert!(!text.contains("canary"), "{place}: {text}");
    }
}

#[tokio::test]
async fn sec_81_the_address_of_the_database_may_stand_in_a_file_of_its_owner() {
    let mongod = guarded().await;
    let uri = user(&mongod, "chat", "readWrite").await;
    let builder = Server::with().set("store", "mongodb").set("mongodb_uri_file", "uri");
    let file = builder.directory().join("uri");
    fs::write(&file, uri + "\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let server = builder.start();
    server.newcomer("ann").await;
}

#[tokio::test]
async fn connections_to_the_database_can_be_encrypted_and_its_certificate_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = identity.cert.pem();
    fs::write(path("server.pem"), certificate.clone() + &identity.signing_key.serialize_pem()).unwrap();
    fs::write(path("ca.pem"), certificate).unwrap();
    let arguments = ["--tlsMode", "allowTLS", "--tlsCertificateKeyFile", &path("server.pem")];
    let arguments = arguments.map(str::to_owned).into();
    let mongod = Mongod::start_with(MongodOptions { arguments, ..MongodOptions::default() }).await;

    let uri = format!("mongodb://localhost:{}/?tls=true&tlsCAFile={}", mongod.port(), path("ca.pem"));
    let server = on(&uri, DATABASE).start();
    server.newcomer("ann").await;

    // A tool does not wait for a database that does not answer.
    let stranger = format!("mongodb://localhost:{}/?tls=true", mongod.port());
    let refused = on(&stranger, DATABASE).arg("user").arg("disable").arg("ann").run();
    assert_eq!(refused.code, Some(75), "{}", refused.log);
    assert!(complaint(&refused).to_lowercase().contains("certificate"), "{}", refused.log);
}

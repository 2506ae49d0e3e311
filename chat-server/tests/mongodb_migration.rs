//! The real binary and the database of a PHP chat: refused, looked at, migrated, served, cleared away.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

mod mongodb_migration {
    use std::io::{BufRead as _, BufReader};
    use std::process::{Command, Stdio};

    use chat_testkit::client::TestClient;
    use chat_testkit::mongod::{FreshDatabase, shared};
    use chat_testkit::php_database::{PhpDatabase, password};
    use mongodb::bson::oid::ObjectId;
    use mongodb::bson::{DateTime, Document, doc};
    use serde_json::{Value, json};

    use crate::support::{Builder, Ended, Server};

    const NAME: &str = "user0";
    const OLD_TOKEN: &str = "5f1d7a84db00d2fce00b31a7fc73224f";
    const NEW_PASSWORD: &str = "another battery staple";

    /// A database of the PHP chat, and a room in it that its user0 and user1 talked in.
    struct PhpChat {
        fresh: FreshDatabase,
        database: mongodb::Database,
        room: ObjectId,
    }

    impl PhpChat {
        async fn new(messages: u64) -> Self {
            let fresh = shared().await.fresh_database();
            let client = mongodb::Client::with_uri_str(fresh.uri()).await.unwrap();
            let database = client.database(fresh.name());
            PhpDatabase { users: 50, rooms: 6, messages, seed: 2 }.write(&database).await.unwrap();
            let php = Self { fresh, database, room: ObjectId::new() };
            let users = php.collection("users");
            users
                .update_one(doc! { "username": NAME }, doc! { "$set": { "token": OLD_TOKEN } })
                .await
                .unwrap();
            php.talk().await;
            php
        }

        async fn talk(&self) {
            let [ann, ben] = [self.user("user0").await, self.user("user1").await];
            let [ann, ben] = [ann, ben].map(|row| row.get_object_id("_id").unwrap());
            let at = |seconds: i64| DateTime::from_millis((1_690_000_000 + seconds) * 1_000);
            let room = doc! {
                "_id": self.room, "name": "Garden", "creator_id": ben, "participants": [ben, ann], "created_at": at(0),
            };
            self.collection("chat_rooms").insert_one(room).await.unwrap();
            let said = [(3, ann, "third"), (1, ben, "first"), (2, ann, "second")];
            let messages = said.map(|(seconds, sender, content)| {
                doc! {
                    "room_id": self.room, "sender_id": sender, "content": content, "timestamp": at(seconds), "type": "text",
                }
            });
            self.collection("messages").insert_many(messages).await.unwrap();
        }

        fn collection(&self, name: &str) -> mongodb::Collection<Document> {
            self.database.collection(name)
        }

        async fn user(&self, name: &str) -> Document {
            self.collection("users").find_one(doc! { "username": name }).await.unwrap().unwrap()
        }

        async fn hash(&self) -> String {
            let reply = self.database.run_command(doc! { "dbHash": 1 }).await.unwrap();
            reply.get_str("md5").unwrap().to_owned()
        }

        /// A server, or a command, on this database.
        fn with(&self) -> Builder {
            Server::with()
                .set("store", "mongodb")
                .set("mongodb_uri", self.fresh.uri())
                .set("mongodb_database", self.fresh.name())
        }

        fn migrate(&self, arguments: &[&str]) -> Ended {
            arguments
                .iter()
                .fold(self.with().arg("migrate"), |builder, argument| builder.arg(*argument))
                .run()
        }
    }

    fn login(password: &str) -> Value {
        json!({"action": "login", "username": NAME, "password": password})
    }

    /// What the messages of an answer say.
    fn said(answer: &Value) -> Vec<&str> {
        let messages = answer["messages"].as_array().unwrap().iter();
        messages.map(|message| message["content"].as_str().unwrap()).collect()
    }

    #[tokio::test]
    async fn an_old_user_goes_on_where_the_php_chat_ended() {
        let php = PhpChat::new(300).await;
        let before = php.user(NAME).await;

        let ended = php.with().try_start().unwrap_err();
        assert_eq!(ended.code, Some(65), "{}", ended.log);
        assert!(ended.log.contains("chat-server migrate --dry-run"), "{}", ended.log);

        let hash = php.hash().await;
        let looked = php.migrate(&["--dry-run"]);
        assert_eq!(looked.code, Some(0), "{}", looked.log);
        assert!(looked.output.contains("50 users") && looked.output.contains("Nothing was written"));
        assert_eq!(php.hash().await, hash);

        let migrated = php.migrate(&[]);
        assert_eq!(migrated.code, Some(0), "{}", migrated.log);
        assert!(migrated.log.contains("stop the PHP chat") && migrated.log.contains("numbers: "));
        let lines = |ended: &Ended| {
            let mut lines: Vec<String> = ended.output.lines().map(str::to_owned).collect();
            let collections = ["users ", "chat_rooms ", "private_chats ", "messages "];
            lines.retain(|line| collections.iter().any(|name| line.starts_with(name)));
            lines.sort_unstable();
            lines
        };
        assert!(!lines(&looked).is_empty());
        assert_eq!(lines(&migrated), lines(&looked), "the dry run told something else");
        let again = php.migrate(&[]);
        assert_eq!((again.code, again.output.contains("nothing to migrate")), (Some(0), true));

        let server = php.with().start();
        let mut ann = TestClient::connect(&server.socket_url()).await;
        let grant = ann.ok(login(&password(0))).await;
        let token = grant["token"].as_str().unwrap();
        let room = php.room.to_hex();
        let history = json!({"action": "get_room_messages", "token": token, "room_id": room});
        assert_eq!(said(&ann.ok(history.clone()).await), ["first", "second", "third"]);
        let send =
            json!({"action": "send_room_message", "token": token, "room_id": room, "content": "fourth"});
        assert_eq!(ann.ok(send).await["seq"], 6);
        assert_eq!(said(&ann.ok(history).await), ["first", "second", "third", "fourth"]);

        let upgraded = php.user(NAME).await;
        assert!(upgraded.get_str("password_hash").unwrap().starts_with("$argon2id$"));
        assert_eq!(upgraded.get("password"), before.get("password"), "the PHP chat cannot go on");
        let change = json!({
            "action": "change_password", "token": token, "old_password": password(0), "new_password": NEW_PASSWORD,
        });
        ann.ok(change).await;
        assert!(!php.user(NAME).await.contains_key("password"), "the old password is worth something");
    }

    #[tokio::test]
    async fn sec_24_tokens_of_a_php_chat_are_worth_nothing_and_never_told() {
        let php = PhpChat::new(20).await;
        let (looked, migrated) = (php.migrate(&["--dry-run"]), php.migrate(&[]));
        let server = php.with().start();
        let mut ann = TestClient::connect(&server.socket_url()).await;
        assert_eq!(
            ann.refused(json!({"action": "authenticate", "token": OLD_TOKEN})).await,
            "unauthenticated"
        );
        assert_eq!(ann.refused(json!({"action": "list_rooms", "token": OLD_TOKEN})).await, "unauthenticated");
        let log = server.into_stopped_log();
        let hash = php.user(NAME).await.get_str("password").unwrap().to_owned();
        for told in [looked.output, looked.log, migrated.output, migrated.log, log] {
            for secret in [OLD_TOKEN, hash.as_str(), "user0@example.org"] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
    }

    #[tokio::test]
    async fn a_migration_that_is_killed_goes_on() {
        let php = PhpChat::new(20_000).await;
        let mut killed = Command::new(env!("CARGO_BIN_EXE_chat-server"))
            .arg("migrate")
            .env("CHAT_MONGODB_URI", php.fresh.uri())
            .env("CHAT_MONGODB_DATABASE", php.fresh.name())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(killed.stderr.take().unwrap()).lines().map(Result::unwrap);
        lines.find(|line| line.contains("numbers: ")).expect("it comes to the numbers");
        killed.kill().unwrap();
        killed.wait().unwrap();

        let refused = php.with().try_start().unwrap_err();
        assert_eq!(refused.code, Some(65), "{}", refused.log);
        assert!(refused.log.contains("run `chat-server migrate` again"), "{}", refused.log);
        let looked = php.migrate(&["--dry-run"]);
        assert!(looked.output.contains("was begun"), "{}", looked.output);
        let resumed = php.migrate(&[]);
        assert_eq!(resumed.code, Some(0), "{}", resumed.log);
        assert!(!resumed.log.contains("users: "), "it began again: {}", resumed.log);
        php.with().start();
    }

    #[tokio::test]
    async fn what_only_going_back_needs_is_cleared_away_while_the_server_runs() {
        let php = PhpChat::new(20).await;
        let early = php.migrate(&["--finish"]);
        assert_eq!(early.code, Some(65), "{}", early.log);
        php.migrate(&[]);
        let server = php.with().start();
        let finished = php.migrate(&["--finish"]);
        assert_eq!(finished.code, Some(0), "{}", finished.log);
        let user = php.user(NAME).await;
        for field in ["password", "token", "status"] {
            assert!(!user.contains_key(field), "{user}");
        }
        let mut ann = TestClient::connect(&server.socket_url()).await;
        ann.ok(login(&password(0))).await;
    }

    #[tokio::test]
    async fn an_empty_database_and_a_missing_address_are_named() {
        let fresh = shared().await.fresh_database();
        let migrate = || Server::with().set("mongodb_database", fresh.name()).arg("migrate");
        let empty = migrate().set("mongodb_uri", fresh.uri()).run();
        assert_eq!(empty.code, Some(0), "{}", empty.log);
        assert!(empty.output.contains("is empty"), "{}", empty.output);
        let nowhere = migrate().run();
        assert_eq!(nowhere.code, Some(64), "{}", nowhere.log);
        assert!(nowhere.log.contains("CHAT_MONGODB_URI"), "{}", nowhere.log);
    }
}

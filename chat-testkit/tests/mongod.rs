//! The servers that tests are given: they keep what they acknowledged, stand still, and leave nothing behind.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic like tests")]

mod mongodb_standalone {
    use std::io::{BufRead as _, BufReader};
    use std::path::PathBuf;
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use chat_testkit::mongod::{Mongod, MongodOptions, shared};
    use mongodb::Client;
    use mongodb::bson::{Document, doc};
    use tokio::time::{Instant, sleep, timeout};

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn client(uri: &str) -> Client {
        Client::with_uri_str(uri).await.unwrap()
    }

    async fn count(client: &Client, database: &str) -> u64 {
        client.database(database).collection::<Document>("c").count_documents(doc! {}).await.unwrap()
    }

    /// Where a server keeps its data, from the command line of its process.
    fn directory(server: &Mongod) -> PathBuf {
        let line =
            std::fs::read_to_string(format!("/proc/{}/cmdline", server.process_id().unwrap())).unwrap();
        let mut arguments = line.split('\0').skip_while(|argument| *argument != "--dbpath");
        arguments.nth(1).unwrap().into()
    }

    fn runs(process: i32) -> bool {
        PathBuf::from(format!("/proc/{process}")).exists()
    }

    async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "waited too long for {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn each_test_has_a_database_of_its_own() {
        let shared = shared().await;
        let (one, other) = (shared.fresh_database(), shared.fresh_database());
        assert_ne!(one.name(), other.name());
        let server = client(shared.uri()).await;
        let rows = client(one.uri()).await.default_database().unwrap().collection("c");
        rows.insert_one(doc! { "a": 1 }).await.unwrap();
        assert_eq!(count(&server, one.name()).await, 1);
        assert_eq!(count(&server, other.name()).await, 0);

        let name = one.name().to_owned();
        drop(one);
        assert!(
            !server.list_database_names().await.unwrap().contains(&name),
            "it stays when its test has ended"
        );
    }

    #[test]
    fn every_runtime_gets_the_same_server() {
        let uri = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { shared().await.uri().to_owned() })
        };
        assert_eq!(uri(), uri());
    }

    #[tokio::test]
    async fn what_was_acknowledged_survives_a_kill() {
        let server = Mongod::start().await;
        let (uri, process) = (server.uri(), server.process_id().unwrap());
        let rows = client(&uri).await.database("d").collection::<Document>("c");
        let journaled = mongodb::options::WriteConcern::builder().journal(true).build();
        rows.insert_one(doc! { "_id": 7 }).write_concern(journaled).await.unwrap();

        server.kill();
        assert!(!runs(process));
        assert_eq!(server.process_id(), None);
        server.restart().await;
        assert_eq!(server.uri(), uri);
        assert_eq!(count(&client(&uri).await, "d").await, 1);
    }

    #[tokio::test]
    async fn a_paused_server_answers_when_it_goes_on() {
        let server = Mongod::start().await;
        let admin = client(&server.uri()).await.database("admin");
        admin.run_command(doc! { "ping": 1 }).await.unwrap();

        server.pause();
        let ping = admin.run_command(doc! { "ping": 1 }).into_future();
        tokio::pin!(ping);
        assert!(timeout(Duration::from_millis(300), &mut ping).await.is_err(), "a paused server answers");
        server.resume();
        timeout(PATIENCE, &mut ping).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_server_can_require_its_user() {
        let server =
            Mongod::start_with(MongodOptions { require_auth: true, ..MongodOptions::default() }).await;
        let list = doc! { "listDatabases": 1 };
        client(&server.uri()).await.database("admin").run_command(list.clone()).await.unwrap();
        let stranger = format!("mongodb://127.0.0.1:{}/", server.port());
        assert!(client(&stranger).await.database("admin").run_command(list).await.is_err());
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_dropped_server() {
        let server = Mongod::start().await;
        let (process, directory) = (server.process_id().unwrap(), directory(&server));
        assert!(directory.exists());
        drop(server);
        assert!(!runs(process));
        assert!(!directory.parent().unwrap().exists());
    }

    /// Set in the process that is killed.
    const VICTIM: &str = "CHAT_TESTKIT_VICTIM";

    /// This test runs itself again, and the second process is killed while it has a server.
    #[tokio::test]
    async fn nothing_is_left_when_the_test_process_is_killed() {
        if std::env::var_os(VICTIM).is_some() {
            let server = Mongod::start().await;
            println!("\nserver {} {}", server.process_id().unwrap(), directory(&server).display());
            return std::future::pending().await;
        }
        let name = "mongodb_standalone::nothing_is_left_when_the_test_process_is_killed";
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env(VICTIM, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.starts_with("server ")).expect("the victim has a server");
        let [_, process, directory] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let process = process.parse().unwrap();
        assert!(runs(process) && PathBuf::from(directory).exists());

        victim.kill().unwrap();
        victim.wait().unwrap();
        wait_until("the end of the server", || !runs(process)).await;
        let directory = PathBuf::from(directory).parent().unwrap().to_owned();
        wait_until("the end of its directory", || !directory.exists()).await;
    }
}

mod mongodb_replica_set {
    use std::time::Duration;

    use chat_testkit::mongod::{MEMBERS, Party, ReplicaSet, ReplicaSetOptions, shared_replica_set};
    use mongodb::bson::{Document, doc};
    use mongodb::error::{Error, ErrorKind, Result};
    use mongodb::options::{Acknowledgment, WriteConcern};
    use mongodb::results::InsertOneResult;
    use mongodb::{Client, Collection};
    use tokio::time::{sleep, timeout};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Longer than an answer takes, shorter than anything that is waited for.
    const MOMENT: Duration = Duration::from_millis(500);

    async fn rows(uri: &str) -> Collection<Document> {
        Client::with_uri_str(uri).await.unwrap().database("d").collection("c")
    }

    /// Inserts a row that a majority has within `deadline`.
    async fn insert_within(deadline: Duration, uri: &str, row: Document) -> Result<InsertOneResult> {
        let concern = WriteConcern::builder().w(Acknowledgment::Majority).w_timeout(deadline).build();
        rows(uri).await.insert_one(row).write_concern(concern).await
    }

    async fn insert(uri: &str, row: Document) -> Result<InsertOneResult> {
        insert_within(PATIENCE, uri, row).await
    }

    /// What one member says about itself, by the way that clients take.
    async fn hello(set: &ReplicaSet, member: usize) -> Document {
        let client = Client::with_uri_str(set.direct_uri(member)).await.unwrap();
        client.database("admin").run_command(doc! { "hello": 1 }).await.unwrap()
    }

    async fn has(uri: &str, row: Document) -> bool {
        rows(uri).await.find_one(row).await.unwrap().is_some()
    }

    fn code(error: &Error) -> i32 {
        match *error.kind {
            ErrorKind::Command(ref failure) => failure.code,
            _ => panic!("{error} has no code"),
        }
    }

    #[tokio::test]
    async fn a_partitioned_primary_gives_way_and_comes_back() {
        let set = ReplicaSet::start().await;
        let old = set.primary().await;
        insert(&set.uri(), doc! { "_id": "before" }).await.unwrap();

        set.partition(old);
        let new = timeout(PATIENCE, async {
            loop {
                let primary = set.primary().await;
                if primary != old {
                    return primary;
                }
            }
        });
        let new = new.await.unwrap();
        let stepped_down = async {
            while hello(&set, old).await.get_bool("isWritablePrimary").unwrap() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, stepped_down).await.unwrap();
        insert(&set.direct_uri(new), doc! { "_id": "meanwhile" }).await.unwrap();
        assert!(has(&set.direct_uri(old), doc! { "_id": "before" }).await, "clients still reach it");
        assert!(!has(&set.direct_uri(old), doc! { "_id": "meanwhile" }).await, "others do not");

        set.heal();
        set.wait_until_all_follow().await;
        assert!(has(&set.direct_uri(old), doc! { "_id": "meanwhile" }).await);
    }

    #[tokio::test]
    async fn clients_can_be_cut_off_while_members_are_not() {
        let set = ReplicaSet::start().await;
        let primary = set.primary().await;
        let uri = set.direct_uri(primary);
        let through = rows(&uri).await;
        through.insert_one(doc! { "_id": 1 }).await.unwrap();

        set.cut_one_way(Party::Member(primary), Party::Clients);
        let mut answer = through.insert_one(doc! { "_id": 2 }).into_future();
        assert!(timeout(MOMENT, &mut answer).await.is_err(), "the answer is lost");
        assert!(has(&set.member(primary).uri(), doc! { "_id": 2 }).await, "the request is not");
        set.heal();
        timeout(PATIENCE, answer).await.unwrap().unwrap();

        set.partition_from_clients(primary);
        let mut answer = through.insert_one(doc! { "_id": 3 }).into_future();
        assert!(timeout(MOMENT, &mut answer).await.is_err());
        assert!(!has(&set.member(primary).uri(), doc! { "_id": 3 }).await, "the request is lost");
        assert_eq!(set.primary().await, primary, "members still reach it");
        set.heal();
        timeout(PATIENCE, answer).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn members_stop_following_and_commands_fail_when_told_to() {
        let set = ReplicaSet::start().await;
        let primary = set.primary().await;
        let followers = (0..MEMBERS).filter(|member| *member != primary);
        for follower in followers.clone() {
            set.stop_replication(follower).await;
        }
        let alone = insert_within(MOMENT, &set.uri(), doc! { "_id": 1 }).await;
        assert!(alone.is_err(), "there is no majority for it");
        for follower in followers.clone() {
            assert!(!has(&set.direct_uri(follower), doc! { "_id": 1 }).await);
            set.start_replication(follower).await;
        }
        set.wait_until_all_follow().await;
        for follower in followers {
            assert!(has(&set.direct_uri(follower), doc! { "_id": 1 }).await);
        }

        let data = doc! { "failCommands": ["insert"], "errorCode": 9001 };
        set.fail_command(primary, doc! { "times": 2 }, data.clone()).await;
        let uri = set.direct_uri(primary);
        // The driver tries twice.
        assert_eq!(code(&insert(&uri, doc! { "_id": 2 }).await.unwrap_err()), 9001);
        insert(&uri, doc! { "_id": 2 }).await.unwrap();
        set.fail_command(primary, "alwaysOn", data).await;
        assert!(insert(&uri, doc! { "_id": 3 }).await.is_err());
        set.member(primary).stop_failing().await;
        insert(&uri, doc! { "_id": 3 }).await.unwrap();
    }

    #[tokio::test]
    async fn the_set_outlives_each_of_its_primaries() {
        let options = ReplicaSetOptions { require_auth: true, ..ReplicaSetOptions::default() };
        let set = ReplicaSet::start_with(options).await;
        let killed = set.primary().await;
        insert(&set.uri(), doc! { "_id": "all" }).await.unwrap();
        set.kill(killed);
        let stepped_down = set.primary().await;
        assert_ne!(stepped_down, killed);
        set.restart(killed).await;
        set.wait_until_all_follow().await;

        assert_eq!(set.step_down().await, stepped_down);
        assert_ne!(set.primary().await, stepped_down);
        set.wait_until_all_follow().await;
        for member in 0..MEMBERS {
            assert!(has(&set.direct_uri(member), doc! { "_id": "all" }).await);
        }
        let stranger = set.uri().replace("root:", "nobody:");
        assert!(insert(&stranger, doc! { "_id": "forged" }).await.is_err());
    }

    #[tokio::test]
    async fn a_set_can_be_shared() {
        let database = shared_replica_set().await.fresh_database();
        let client = Client::with_uri_str(database.uri()).await.unwrap();
        let rows = client.default_database().unwrap().collection("c");
        rows.insert_one(doc! { "a": 1 }).await.unwrap();
        assert!(shared_replica_set().await.uri().contains("replicaSet="));
    }
}

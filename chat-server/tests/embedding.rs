//! The program in README.md that embeds a chat: this very text, at work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chat_core::Chat;
use chat_core::auth::{AuthSettings, PasswordAuth};
use chat_core::time::SystemClock;
use chat_store_sqlite::{SqliteConfig, SqliteStore};
use chat_transport_ws::{Config, serve};
use tokio::net::TcpListener;

async fn run_chat(file: &Path, listener: TcpListener, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let store = Arc::new(SqliteStore::open(SqliteConfig::new(file))?);
    let auth = PasswordAuth::new(store.clone(), Arc::new(SystemClock), AuthSettings::default())?;
    let chat = Chat::builder().auth(Arc::new(auth)).rooms(store).build().await?;
    serve(listener, chat.clone(), Config::default(), stop).await;
    chat.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

mod test {
    use std::fs;

    use chat_testkit::client::TestClient;
    use serde_json::json;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn the_program_of_the_readme_chats_and_ends() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("chat.db");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/ws", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let program = run_chat(&file, listener, async { drop(stopped.await) });
        let visitor = async {
            let mut ann = TestClient::connect(&url).await;
            let person = |action| json!({"action": action, "username": "ann", "password": "correct horse"});
            let mut registration = person("register");
            registration["email"] = json!("ann@example.org");
            ann.ok(registration).await;
            ann.ok(person("login")).await;
            let room = ann.ok(json!({"action": "create_room", "room_name": "Garden"})).await;
            ann.ok(json!({"action": "send_room_message", "room_id": room["room_id"], "content": "hello"}))
                .await;
            stop.send(()).unwrap();
        };
        let (outcome, ()) = tokio::join!(program, visitor);
        outcome.unwrap();
    }

    #[test]
    fn the_readme_shows_this_program() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
        let readme = read("README.md");
        let (_, rest) = readme.split_once("```rust\n").expect("README.md has a program");
        let (program, _) = rest.split_once("```").unwrap();
        assert!(read("chat-server/tests/embedding.rs").contains(program), "README.md shows another program");
    }
}

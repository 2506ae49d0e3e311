//! Users become accounts.

use chat_core::domain::ConversationKind;
use chat_core::port::{AccountStore, RoomStore, UsernameKeys};
use chat_core::time::Timestamp;
use chat_store_mongo::migrate_php::FindingKind;
use mongodb::bson::{Bson, Document, doc};

use crate::php_chat::{Migrated, PhpChat, conversation, user};

impl Migrated {
    async fn found_as(&self, name: &str) -> Option<String> {
        let folded = name.to_lowercase();
        let keys = UsernameKeys { text: name.to_owned(), skeleton: folded.clone(), folded };
        self.store.account_by_name(&keys).await.unwrap().map(|account| account.username)
    }
}

#[tokio::test]
async fn users_keep_their_id_name_address_times_and_password() {
    let php = PhpChat::new().await;
    let id = php.user(1, "Ann").await;
    let before = php.row("users", id).await;
    let migrated = php.migrate().await;
    let account = migrated.store.account(user(id)).await.unwrap().unwrap();
    assert_eq!((account.username.as_str(), account.display_name.as_str()), ("Ann", "Ann"));
    assert_eq!(account.email.unwrap().as_str(), "1@example.org");
    assert_eq!(account.password_hash, "$2y$10$hash of 1");
    assert_eq!(account.created_at.unix_ms(), PhpChat::at(1).timestamp_millis());
    assert_eq!(account.last_login.unwrap().unix_ms(), PhpChat::at(10).timestamp_millis());
    assert!(!account.disabled);
    assert_eq!(migrated.found_as("ANN").await.as_deref(), Some("Ann"));
    let after = php.row("users", id).await;
    for (field, value) in &before {
        assert_eq!(after.get(field), Some(value), "{field} has changed");
    }
    assert!(!after.contains_key("password_hash"));
    assert!(migrated.findings.is_empty());
}

#[tokio::test]
async fn the_oldest_of_several_with_one_name_keeps_it() {
    let php = PhpChat::new().await;
    let [second, first] = [php.user(5, "bob").await, php.user(3, "bob").await];
    let migrated = php.migrate().await;
    let renamed = format!("bob-{}", &second.to_hex()[18..]);
    assert_eq!(migrated.kinds(), [FindingKind::UsernameDuplicate]);
    assert_eq!(php.row("users", first).await.get_str("username").unwrap(), "bob");
    let row = php.row("users", second).await;
    assert_eq!(row.get_str("username").unwrap(), renamed);
    assert_eq!(row.get_str("username_before").unwrap(), "bob");
    assert_eq!(row.get_str("display_name").unwrap(), renamed);
    assert_eq!(migrated.found_as(&renamed).await, Some(renamed));
}

#[tokio::test]
async fn names_that_clash_only_by_todays_rules_stay_and_are_found_by_their_exact_text() {
    let php = PhpChat::new().await;
    for (number, name) in [(1, "alice"), (2, "Alice"), (3, "a1ice"), (4, "ann lee"), (5, "x")] {
        php.user(number, name).await;
    }
    let migrated = php.migrate().await;
    use FindingKind::{UsernameFoldsAlike, UsernameLooksAlike, UsernameNotAllowed};
    assert_eq!(
        migrated.kinds(),
        [UsernameNotAllowed, UsernameNotAllowed, UsernameFoldsAlike, UsernameLooksAlike]
    );
    for name in ["alice", "Alice", "a1ice", "ann lee", "x"] {
        assert_eq!(migrated.found_as(name).await.as_deref(), Some(name));
    }
    assert_eq!(migrated.found_as("ALICE").await.as_deref(), Some("alice"));
    assert_eq!(migrated.found_as("A1ICE").await.as_deref(), Some("a1ice"));
    assert_eq!(migrated.found_as("Ann Lee").await, None);
}

#[tokio::test]
async fn users_who_lack_something_get_what_an_account_must_have() {
    let php = PhpChat::new().await;
    let (id, created_at) = (PhpChat::id(7), Bson::String("yesterday".to_owned()));
    php.insert("users", doc! { "_id": id, "email": [1], "created_at": created_at }).await;
    let migrated = php.migrate().await;
    use FindingKind::{EmailUnusable, PasswordUnusable, TimeUnreadable, UsernameMissing};
    let mut kinds = migrated.kinds();
    kinds.sort_unstable();
    assert_eq!(kinds, [UsernameMissing, PasswordUnusable, EmailUnusable, TimeUnreadable]);
    let account = migrated.store.account(user(id)).await.unwrap().unwrap();
    assert_eq!(account.username, format!("user-{}", &id.to_hex()[18..]));
    assert_eq!((account.email, account.password_hash.as_str(), account.last_login), (None, "", None));
    assert_eq!(account.created_at.unix_ms(), id.timestamp().timestamp_millis());
}

#[tokio::test]
async fn names_that_are_numbers_and_dates_that_are_texts_are_read() {
    let php = PhpChat::new().await;
    let [number, phone, text] = [1, 2, 30].map(PhpChat::id);
    let registered = "2020-09-13 12:26:47";
    php.insert(
        "users",
        doc! { "_id": number, "username": 2024, "password": "$2y$10$a", "created_at": registered },
    )
    .await;
    let fields = doc! { "username": 13_800_138_000_i64, "created_at": "2020-09-13T14:26:47+02:00" };
    let more = doc! { "_id": phone, "password": "$2y$10$b", "last_login": "2023-11-14 22:13:20" };
    php.insert("users", fields.into_iter().chain(more).collect()).await;
    // Younger, and of the same name.
    php.insert("users", doc! { "_id": text, "username": "2024", "password": "$2y$10$c" }).await;
    let room = php.room(10, &[number]).await;
    let named = doc! { "$set": { "name": 7, "topic": 1.0 } };
    php.database.collection::<Document>("chat_rooms").update_one(doc! { "_id": room }, named).await.unwrap();
    php.message(20, doc! { "room_id": room, "sender_id": number, "timestamp": "2023-11-14T22:13:20Z" }).await;
    let migrated = php.migrate().await;

    let account = async |id| migrated.store.account(user(id)).await.unwrap().unwrap();
    let [number, phone, text] = [account(number).await, account(phone).await, account(text).await];
    assert_eq!((number.username.as_str(), String::from(number.display_name)), ("2024", "2024".to_owned()));
    assert_eq!(phone.username, "13800138000");
    assert_eq!(text.username, format!("2024-{}", &PhpChat::id(30).to_hex()[18..]));
    assert_eq!([number.created_at, phone.created_at].map(Timestamp::unix_ms), [1_600_000_007_000; 2]);
    assert_eq!(phone.last_login.map(Timestamp::unix_ms), Some(1_700_000_000_000));
    assert_eq!(migrated.found_as("13800138000").await.as_deref(), Some("13800138000"));
    let ConversationKind::Room { name, topic, .. } =
        migrated.store.conversation(conversation(room)).await.unwrap().unwrap().kind
    else {
        panic!("it is no room")
    };
    assert_eq!((name.as_str(), topic.as_str()), ("7", "1"));
    let timestamp =
        php.row("messages", PhpChat::id(20)).await.get_datetime("timestamp").unwrap().timestamp_millis();
    assert_eq!(timestamp, 1_700_000_000_000);
    // The third user has no date at all.
    use FindingKind::{TimeUnreadable, UsernameDuplicate};
    let mut kinds = migrated.kinds();
    kinds.retain(|kind| [TimeUnreadable, UsernameDuplicate, FindingKind::RoomName].contains(kind));
    assert_eq!(kinds, [UsernameDuplicate, TimeUnreadable]);
}

#[tokio::test]
async fn names_that_cannot_be_shown_get_another_name_to_show() {
    let php = PhpChat::new().await;
    let long = "long".repeat(40);
    let direction = php.user(1, "\u{202E}nna").await;
    let too_long = php.user(2, &long).await;
    let migrated = php.migrate().await;
    let shown = async |id| {
        let account = migrated.store.account(user(id)).await.unwrap().unwrap();
        (account.username, String::from(account.display_name))
    };
    assert_eq!(shown(direction).await, ("\u{202E}nna".to_owned(), "nna".to_owned()));
    assert_eq!(shown(too_long).await, (long.clone(), long[..64].to_owned()));
}

#[tokio::test]
async fn tokens_of_the_php_chat_become_no_sessions() {
    let php = PhpChat::new().await;
    php.user(1, "ann").await;
    php.migrate().await;
    assert!(php.rows("sessions").await.is_empty());
    assert!(php.rows("migration_findings").await.iter().all(|row| !row.to_string().contains("t0ken")));
}

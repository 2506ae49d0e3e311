//! Users become accounts.

use chat_core::port::{AccountStore, UsernameKeys};
use chat_store_mongo::migrate_php::FindingKind;
use mongodb::bson::{Bson, doc};

use crate::php_chat::{PhpChat, TakenOver, user};

impl TakenOver {
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

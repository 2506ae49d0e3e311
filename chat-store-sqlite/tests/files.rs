//! Files that cannot be opened say why and what to do; backups are complete; damage is found.

#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use chat_core::port::RoomStore;
use chat_store_sqlite::{Beside, MaintenanceError, OpenError, SqliteConfig, SqliteStore};
use rusqlite::Connection;
use support::{ALL, Place, contents, message, room, send, user};

fn refusal(place: &Place) -> OpenError {
    SqliteStore::open(SqliteConfig::new(place.database())).unwrap_err()
}

/// Overwrites pages in the middle of the database.
fn damage(place: &Place) {
    let mut file = fs::OpenOptions::new().write(true).open(place.database()).unwrap();
    let bytes = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(bytes / 2)).unwrap();
    file.write_all(&[0xA5; 16 * 1_024]).unwrap();
}

#[tokio::test]
async fn a_second_store_on_one_file_is_refused_until_the_first_closes() {
    let place = Place::new();
    let store = place.open();
    let refusal = refusal(&place);
    assert!(matches!(refusal, OpenError::InUse { holder, .. } if holder == Some(std::process::id())));
    assert!(refusal.to_string().contains("stop that process"), "{refusal}");
    drop(store);
    place.open();
}

/// Other ways to write the path of the database.
#[cfg(unix)]
fn detours(place: &Place) -> Vec<std::path::PathBuf> {
    use std::os::unix::fs::symlink;
    fs::create_dir(place.path("elsewhere")).unwrap();
    symlink(place.database(), place.path("elsewhere/file.db")).unwrap();
    symlink("file.db", place.path("elsewhere/link-to-a-link.db")).unwrap();
    symlink(place.path(""), place.path("elsewhere/directory")).unwrap();
    [
        "elsewhere/file.db",
        "elsewhere/link-to-a-link.db",
        "elsewhere/directory/chat.db",
        "elsewhere/../chat.db",
    ]
    .map(|detour| place.path(detour))
    .to_vec()
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_is_locked_by_whatever_links_one_comes() {
    let place = Place::new();
    drop(place.open());
    for detour in detours(&place) {
        let first = SqliteStore::open(SqliteConfig::new(&detour)).unwrap();
        let room = room(&first, user(1)).await;
        let second = SqliteStore::open(SqliteConfig::new(place.database()));
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{detour:?}: {second:?}");
        let beside = Beside::open(SqliteConfig::new(&detour)).unwrap();
        assert!(beside.rooms().conversation(room).await.unwrap().is_some());
        drop((first, beside));
        let store = place.open();
        let third = SqliteStore::open(SqliteConfig::new(&detour));
        assert!(matches!(third, Err(OpenError::InUse { .. })), "{detour:?}: {third:?}");
        assert!(store.conversation(room).await.unwrap().is_some());
    }
    assert!(!place.path("elsewhere/file.db.lock").exists(), "the lock is beside the file");
}

#[cfg(unix)]
#[test]
fn a_database_with_a_second_name_is_refused_while_it_has_it() {
    let place = Place::new();
    let store = place.open();
    let second = place.path("second.db");
    fs::hard_link(place.database(), &second).unwrap();
    let refused = SqliteStore::open(SqliteConfig::new(&second)).unwrap_err();
    assert!(matches!(refused, OpenError::SeveralNames { .. }), "{refused:?}");
    assert!(refused.to_string().contains("remove the other names"), "{refused}");
    let beside = Beside::open(SqliteConfig::new(&second));
    assert!(matches!(beside, Err(OpenError::SeveralNames { .. })), "{beside:?}");
    assert!(!place.path("second.db-wal").exists());
    drop(store);
    fs::remove_file(second).unwrap();
    place.open();
}

#[cfg(unix)]
#[tokio::test]
async fn a_backup_never_takes_the_place_of_the_database() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    for target in detours(&place) {
        let refused = store.backup(&target).await;
        assert!(matches!(refused, Err(MaintenanceError::Exists(_))), "{target:?}: {refused:?}");
    }
    for target in ["chat.db-journal", "elsewhere/directory/chat.db-journal", "elsewhere/../chat.db-journal"] {
        let refused = store.backup(place.path(target)).await;
        assert!(matches!(refused, Err(MaintenanceError::OfTheDatabase(_))), "{target}: {refused:?}");
    }
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("dangling.db")).unwrap();
    let refused = store.backup(place.path("dangling.db")).await;
    assert!(matches!(refused, Err(MaintenanceError::Exists(_))), "{refused:?}");
    drop(store);

    // The file in which a backup grows is removed before it is made: here that would be the database.
    let partial = place.path("data.partial");
    fs::rename(place.database(), &partial).unwrap();
    let store = SqliteStore::open(SqliteConfig::new(&partial)).unwrap();
    let refused = store.backup(place.path("data")).await;
    assert!(matches!(refused, Err(MaintenanceError::OfTheDatabase(_))), "{refused:?}");
    drop(store);
    let store = SqliteStore::open(SqliteConfig::new(&partial)).unwrap();
    assert!(store.conversation(room).await.unwrap().is_some());
}

#[test]
fn a_newer_file_is_refused_and_not_touched() {
    let place = Place::new();
    drop(place.open());
    Connection::open(place.database()).unwrap().pragma_update(None, "user_version", 77).unwrap();
    let before = fs::read(place.database()).unwrap();
    let refusal = refusal(&place);
    assert!(matches!(refusal, OpenError::Newer { found: 77, .. }));
    assert!(refusal.to_string().contains("run the newer version"), "{refusal}");
    assert_eq!(fs::read(place.database()).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_and_not_touched() {
    let place = Place::new();
    let text = "a letter to a friend\n".repeat(1_000);
    fs::write(place.database(), &text).unwrap();
    let refusal = refusal(&place);
    assert!(matches!(refusal, OpenError::NotADatabase { .. }));
    assert!(refusal.to_string().contains("choose another path"), "{refusal}");
    assert_eq!(fs::read_to_string(place.database()).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_not_touched() {
    let place = Place::new();
    Connection::open(place.database()).unwrap().execute_batch("CREATE TABLE songs (name TEXT)").unwrap();
    let before = fs::read(place.database()).unwrap();
    assert!(matches!(refusal(&place), OpenError::Foreign { .. }));
    assert_eq!(fs::read(place.database()).unwrap(), before);
}

#[test]
fn a_truncated_file_is_refused() {
    let place = Place::new();
    drop(place.open());
    let file = fs::OpenOptions::new().write(true).open(place.database()).unwrap();
    file.set_len(8 * 1_024).unwrap();
    let refusal = refusal(&place);
    assert!(matches!(refusal, OpenError::Damaged { .. }));
    assert!(refusal.to_string().contains("restore a backup"), "{refusal}");
}

#[test]
fn a_missing_directory_is_refused() {
    let place = Place::new();
    let refusal = SqliteStore::open(SqliteConfig::new(place.path("missing/chat.db"))).unwrap_err();
    assert!(matches!(refusal, OpenError::Io { .. }));
    assert!(refusal.to_string().contains("directory must exist"), "{refusal}");
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new();
    let store = place.open();
    room(&store, user(1)).await;
    store.backup(place.path("backup.db")).await.unwrap();
    for name in ["chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock", "backup.db"] {
        let mode = fs::metadata(place.path(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn a_damaged_page_is_found() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    for number in 0..60 {
        send(&store, room, vec![message(user(1), &format!("{number} {}", "x".repeat(2_000)))]).await;
    }
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
    drop(store);

    damage(&place);
    let store = place.open();
    let findings = store.check_integrity().await;
    assert!(!matches!(findings, Ok(ref findings) if findings.is_empty()), "{findings:?}");
}

#[tokio::test]
async fn a_damaged_database_is_not_backed_up() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    for number in 0..60 {
        send(&store, room, vec![message(user(1), &format!("{number} {}", "x".repeat(2_000)))]).await;
    }
    drop(store);
    damage(&place);

    let store = place.open();
    let refused = store.backup(place.path("backup.db")).await.unwrap_err();
    assert!(matches!(refused, MaintenanceError::Damaged { .. }), "{refused:?}");
    let message = refused.to_string();
    assert!(message.contains("chat.db is damaged (") && message.contains("no backup was made"), "{message}");
    assert!(!message.contains('\n'), "{message}");
    drop(store);
    let files = fs::read_dir(place.path("")).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["chat.db", "chat.db.lock"], "nothing looks like a backup");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_made_under_load_is_complete_and_sound() {
    let place = Place::new();
    let store = place.open();
    let room = room(&store, user(1)).await;
    for number in 0..50 {
        send(&store, room, vec![message(user(1), &number.to_string())]).await;
    }
    let load = {
        let store = store.clone();
        async move {
            for number in 50..400 {
                send(&store, room, vec![message(user(1), &number.to_string())]).await;
            }
        }
    };
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(load);
    store.backup(place.path("backup.db")).await.unwrap();
    tasks.join_next().await.unwrap().unwrap();

    let refused = store.backup(place.path("backup.db")).await;
    assert!(matches!(refused, Err(MaintenanceError::Exists(_))), "{refused:?}");
    let copy = SqliteStore::open(SqliteConfig::new(place.path("backup.db"))).unwrap();
    assert_eq!(copy.check_integrity().await.unwrap(), Vec::<String>::new());
    let (kept, all) = (contents(&copy, room).await, contents(&store, room).await);
    assert!(kept.len() >= 50, "{}", kept.len());
    assert_eq!(all.len(), 400);
    assert_eq!(kept, all[..kept.len()]);
    assert_eq!(copy.entries(room, ALL).await.unwrap().entries.len(), kept.len() + 1);
}

#[tokio::test]
async fn each_restored_backup_has_an_epoch_of_its_own() {
    let place = Place::new();
    let store = place.open();
    let original = store.epoch().await.unwrap();
    store.backup(place.path("backup.db")).await.unwrap();
    let mut epochs = vec![original.clone()];
    for name in ["first.db", "second.db"] {
        fs::copy(place.path("backup.db"), place.path(name)).unwrap();
        let restored = SqliteStore::open(SqliteConfig::new(place.path(name))).unwrap();
        let epoch = restored.epoch().await.unwrap();
        assert!(!epochs.contains(&epoch));
        drop(restored);
        let again = SqliteStore::open(SqliteConfig::new(place.path(name))).unwrap();
        assert_eq!(again.epoch().await.unwrap(), epoch);
        epochs.push(epoch);
    }
    assert_eq!(store.epoch().await.unwrap(), original);
}

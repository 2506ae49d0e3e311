//! What the documentation for operators says of MongoDB is what works.

use std::fs;

use mongodb::bson::{Document, doc};

use crate::place::{Place, contents, documents};
use crate::support::people::text;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
const BEGIN: &str = "<!-- indexes begin";
const END: &str = "<!-- indexes end -->";

/// The collections of a database and their indexes, without those of `_id`.
async fn indexes(place: &Place) -> Vec<(String, Vec<Document>)> {
    let mut names = place.database.list_collection_names().await.unwrap();
    names.sort();
    let mut found = Vec::new();
    for name in names {
        let listed = place.database.run_command(doc! { "listIndexes": &name }).await.unwrap();
        let mut indexes = documents(listed.get_document("cursor").unwrap().get_array("firstBatch").unwrap());
        indexes.retain(|index| index.get_str("name").unwrap() != "_id_");
        for index in &mut indexes {
            index.remove("v");
        }
        if !indexes.is_empty() {
            found.push((name, indexes));
        }
    }
    found
}

/// The commands that create indexes, in relaxed JSON, which `mongosh` takes.
fn commands(indexes: &[(String, Vec<Document>)]) -> String {
    let line = |collection: &str, index: &Document| {
        let index = serde_json::to_string(index).unwrap();
        format!("db.runCommand({{\"createIndexes\":\"{collection}\",\"indexes\":[{index}]}})\n")
    };
    indexes.iter().flat_map(|(name, indexes)| indexes.iter().map(|index| line(name, index))).collect()
}

/// Run with `UPDATE_DOCS=1` to write the commands anew.
#[tokio::test]
async fn the_documented_commands_create_the_indexes() {
    let place = Place::laid_out().await;
    let laid_out = indexes(&place).await;
    let expected = format!("\n```js\nuse chat_system\n{}```\n\n", commands(&laid_out));
    let document = fs::read_to_string(PATH).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the marker before the commands");
    let (marker, rest) = rest.split_once("-->\n").expect("the end of the marker");
    let (shown, after) = rest.split_once(END).expect("the marker after the commands");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(PATH, format!("{before}{BEGIN}{marker}-->\n{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(shown, expected, "docs/operations.md is out of date; run this test with UPDATE_DOCS=1");

    for (collection, _) in &laid_out {
        place.database.collection::<Document>(collection).drop_indexes().await.unwrap();
    }
    place.server().try_start().expect_err("the indexes are missing");
    for _twice in 0..2 {
        for line in shown.lines().filter_map(|line| line.strip_prefix("db.runCommand(")) {
            let command: Document = serde_json::from_str(line.trim_end_matches(')')).unwrap();
            place.database.run_command(command).await.unwrap();
        }
    }
    assert_eq!(indexes(&place).await, laid_out);
    let server = place.server().start();
    let mut ann = server.newcomer("ann").await;
    let room = ann.create_room("Harbour").await;
    ann.ok(text(&room, "hello")).await;
}

#[tokio::test]
async fn every_metric_is_documented() {
    let place = Place::new().await;
    let server = place.server().start();
    let mut ann = server.newcomer("ann").await;
    let room = ann.create_room("Harbour").await;
    ann.ok(text(&room, "hello")).await;
    let metrics = server.ask_admin("/metrics").body;
    let document = fs::read_to_string(PATH).unwrap();
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in names.chain(["chat_store_absences_total"]) {
        assert!(document.contains(&format!("`{name}`")), "{name} is not documented");
    }
    assert!(metrics.contains("chat_store_insert_rows"), "{metrics}");
    assert!(metrics.contains("chat_store_absences_total 0"), "alarms need a beginning: {metrics}");
}

/// What `dbHash` covers is what the tests of refused databases compare.
#[tokio::test]
async fn a_look_at_a_database_sees_every_change() {
    let place = Place::laid_out().await;
    let before = contents(&place.database).await;
    assert_eq!(contents(&place.database).await, before);
    let meta = place.database.collection::<Document>("meta");
    meta.update_one(doc! { "_id": "barrier" }, doc! { "$inc": { "writes": 1 } }).await.unwrap();
    assert_ne!(contents(&place.database).await, before);
}

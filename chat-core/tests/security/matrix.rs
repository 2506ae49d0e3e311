//! Who may do what: every action, in every relation, with every kind of id, against one table that was
//! written from the requirements and not from the code.

use std::collections::BTreeSet;

use chat_core::domain::Visibility;
use chat_core::id::UserId;
use chat_core::protocol::request::ACTIONS;
use serde_json::Value;

use crate::stage::{Stage, Standing, action, stand};
use crate::support::Client;

/// Requests that name a room, and what each relation gets: `+` success, `f` forbidden, `n` not found.
/// Relations: stranger, invited, member, left, removed, banned, admin, owner. First public, then private rooms.
const ROOMS: &[(&str, &str, &str)] = &[
    (r#"{"action":"join_room","room_id":"$id"}"#, "+++++f++", "n++nnn++"),
    (r#"{"action":"leave_room","room_id":"$id"}"#, "f++fff++", "n++nnn++"),
    (r#"{"action":"get_room","room_id":"$id"}"#, "f++fff++", "n++nnn++"),
    (r#"{"action":"invite_member","room_id":"$id","user_id":"$outsider"}"#, "ffffff++", "nffnnn++"),
    (r#"{"action":"remove_member","room_id":"$id","user_id":"$member"}"#, "ffffff++", "nffnnn++"),
    (r#"{"action":"ban_member","room_id":"$id","user_id":"$member"}"#, "ffffff++", "nffnnn++"),
    (r#"{"action":"unban_member","room_id":"$id","user_id":"$banned"}"#, "ffffff++", "nffnnn++"),
    (r#"{"action":"set_role","room_id":"$id","user_id":"$member","role":"admin"}"#, "fffffff+", "nffnnnf+"),
    (r#"{"action":"update_room","room_id":"$id","room_name":"Other"}"#, "ffffff++", "nffnnn++"),
    (r#"{"action":"send_room_message","room_id":"$id","content":"Hello"}"#, "ff+fff++", "nf+nnn++"),
    (r#"{"action":"get_room_messages","room_id":"$id"}"#, "ff+fff++", "nf+nnn++"),
    (r#"{"action":"mark_read","room_id":"$id","seq":1}"#, "ff+fff++", "nf+nnn++"),
    (r#"{"action":"typing","room_id":"$id"}"#, "ff+fff++", "nf+nnn++"),
    // What cannot be read is `gone`, which is how these two say "not found".
    (r#"{"action":"sync","cursors":{"$id":0}}"#, "nn+nnn++", "nn+nnn++"),
    (r#"{"action":"list_rooms"}"#, "n++nnn++", "n++nnn++"),
    (r#"{"action":"list_rooms","scope":"public"}"#, "++++++++", "nnnnnnnn"),
];

/// Requests that name a private chat, and what a third user and one of the two get.
const CHATS: &[(&str, &str)] = &[
    (r#"{"action":"send_private_message","chat_id":"$id","content":"Hello"}"#, "n+"),
    (r#"{"action":"send_private_message","chat_id":"$id","content":"Hello","receiver_id":"$founder"}"#, "n+"),
    (r#"{"action":"get_private_messages","chat_id":"$id"}"#, "n+"),
    (r#"{"action":"mark_read","chat_id":"$id","seq":1}"#, "n+"),
    (r#"{"action":"typing","chat_id":"$id"}"#, "n+"),
    (r#"{"action":"sync","cursors":{"$id":0}}"#, "n+"),
    (r#"{"action":"list_private_chats"}"#, "n+"),
];

/// Requests that name a session of the actor's or a user, and what an id gets that names one.
const OTHERS: &[(&str, &str)] = &[
    (r#"{"action":"revoke_session","session_id":"$id"}"#, "$session"),
    (r#"{"action":"open_private_chat","user_id":"$id"}"#, "$outsider"),
    // Unknown users are left out of these lists.
    (r#"{"action":"get_users","user_ids":["$id"]}"#, "$outsider"),
    (r#"{"action":"get_presence","user_ids":["$id"]}"#, "$founder"),
];

/// Requests without ids, and what anonymous and signed-in users get; `u` is unauthenticated.
const WITHOUT_IDS: &[(&str, &str)] = &[
    (
        r#"{"action":"register","username":"newcomer","password":"correct horse","email":"a@example.org"}"#,
        "++",
    ),
    (r#"{"action":"login","username":"actor","password":"password"}"#, "++"),
    (r#"{"action":"authenticate","token":"$token"}"#, "++"),
    (r#"{"action":"refresh_token","refresh_token":"$refresh"}"#, "++"),
    (r#"{"action":"ping"}"#, "++"),
    (r#"{"action":"logout"}"#, "u+"),
    (r#"{"action":"list_sessions"}"#, "u+"),
    (r#"{"action":"change_password","old_password":"password","new_password":"battery staple"}"#, "u+"),
    (r#"{"action":"update_profile","display_name":"Actor"}"#, "u+"),
    (r#"{"action":"create_room","room_name":"General"}"#, "u+"),
    (r#"{"action":"set_status","status":"away"}"#, "u+"),
];

/// Ids that name no room or chat whatever the relation. `$chat` and `$room` stand where they are of the wrong kind.
const NO_IDS: [&str; 8] = [
    "0123456789abcdef01234567",
    "no id",
    "",
    "$room ",
    "$founder",
    "$session",
    "../../x",
    "{\\\"$ne\\\":null}",
];

#[tokio::test]
async fn sec_31_every_action_relation_and_id_gets_what_the_table_says() {
    let mut cases = 0;
    for (template, public, private) in ROOMS {
        for (visibility, expected) in [(Visibility::Public, public), (Visibility::Private, private)] {
            for (standing, expected) in Standing::ALL.into_iter().zip(expected.chars()) {
                cases += rooms(template, visibility, standing, expected).await;
            }
        }
    }
    for (template, expected) in CHATS {
        cases += chats(template, expected).await;
    }
    for (template, id) in OTHERS {
        cases += others(template, id).await;
    }
    for (template, expected) in WITHOUT_IDS {
        cases += without_ids(template, expected).await;
    }
    println!("{cases} cases");
    assert!(cases >= 900, "only {cases} cases");
}

#[test]
fn sec_31_every_action_has_a_row() {
    let of = |templates: Vec<&str>| templates.into_iter().map(action).collect::<BTreeSet<_>>();
    let mut rows = of(ROOMS.iter().map(|row| row.0).collect());
    rows.extend(of(CHATS.iter().map(|row| row.0).collect()));
    rows.extend(of(OTHERS.iter().map(|row| row.0).collect()));
    rows.extend(of(WITHOUT_IDS.iter().map(|row| row.0).collect()));
    let actions: BTreeSet<String> = ACTIONS.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(rows, actions);
}

/// One room and one relation, with every kind of id. Answers the number of cases.
async fn rooms(template: &str, visibility: Visibility, standing: Standing, expected: char) -> usize {
    let mut stage = Stage::new(visibility, standing).await;
    let mut anonymous = stage.world.stranger();
    let what = format!("{template} as {standing:?} in a {visibility:?} room");
    let mut cases = 0;
    if template.contains("$id") {
        for id in NO_IDS.into_iter().chain(["$chat"]) {
            let request = request(&stage, template, id);
            expect(&mut anonymous, &request, 'u', &what).await;
            // `sync` finds the chat under its id.
            let expected = if id == "$chat" && action(template) == "sync" { '+' } else { 'n' };
            unchanged(&mut stage, &request, expected, &what).await;
            cases += 2;
        }
    }
    let request = request(&stage, template, "$room");
    expect(&mut anonymous, &request, 'u', &what).await;
    if expected == '+' {
        expect(&mut stage.actor, &request, '+', &what).await;
    } else {
        unchanged(&mut stage, &request, expected, &what).await;
    }
    cases + 2
}

/// One kind of request about a private chat, as a third user and as one of the two.
async fn chats(template: &str, expected: &str) -> usize {
    let mut stage = Stage::new(Visibility::Public, Standing::Member).await;
    let mut third = stage.world.user("third").await;
    let mut anonymous = stage.world.stranger();
    let mut cases = 0;
    if template.contains("$id") {
        for id in NO_IDS.into_iter().chain(["$room"]) {
            let request = request(&stage, template, id);
            expect(&mut anonymous, &request, 'u', template).await;
            expect(&mut third, &request, 'n', template).await;
            let expected = if id == "$room" && action(template) == "sync" { '+' } else { 'n' };
            unchanged(&mut stage, &request, expected, template).await;
            cases += 3;
        }
    }
    let request = request(&stage, template, "$chat");
    let mut expected = expected.chars();
    expect(&mut anonymous, &request, 'u', template).await;
    let before = stage.stored();
    expect(&mut third, &request, expected.next().unwrap(), template).await;
    assert_eq!(stage.stored(), before, "{template} by a third user changed something");
    expect(&mut stage.actor, &request, expected.next().unwrap(), template).await;
    cases + 3
}

async fn others(template: &str, real: &str) -> usize {
    let mut stage = Stage::new(Visibility::Private, Standing::Stranger).await;
    let mut anonymous = stage.world.stranger();
    let stolen = stage.world.auth.sign_in(stage.founder);
    let stolen = stolen.split('-').nth(1).unwrap().to_owned();
    let ids = ["0123456789abcdef01234567", "no id", "", "$room", "$chat", &stolen];
    for id in ids {
        let request = request(&stage, template, id);
        expect(&mut anonymous, &request, 'u', template).await;
        unchanged(&mut stage, &request, 'n', template).await;
    }
    let request = request(&stage, template, real);
    expect(&mut anonymous, &request, 'u', template).await;
    expect(&mut stage.actor, &request, '+', template).await;
    2 * ids.len() + 2
}

async fn without_ids(template: &str, expected: &str) -> usize {
    for (index, expected) in expected.chars().enumerate() {
        let mut stage = Stage::new(Visibility::Private, Standing::Stranger).await;
        let mut anonymous = stage.world.stranger();
        let request = stage.fill(template);
        let client = if index == 0 { &mut anonymous } else { &mut stage.actor };
        expect(client, &request, expected, template).await;
    }
    2
}

fn request(stage: &Stage, template: &str, id: &str) -> String {
    stage.fill(&template.replace("$id", id))
}

/// Sends what must be refused, and must leave everything as it is.
async fn unchanged(stage: &mut Stage, request: &str, expected: char, what: &str) {
    let before = stage.stored();
    expect(&mut stage.actor, request, expected, what).await;
    assert_eq!(stage.stored(), before, "{what}: {request} changed something");
}

async fn expect(client: &mut Client, request: &str, expected: char, what: &str) {
    let reply = Stage::raw(client, request).await;
    let found = outcome(request, &serde_json::from_str(&reply).unwrap());
    assert_eq!(found, expected, "{what}: {request} got {reply}");
}

/// What a reply means, in the letters of the table.
fn outcome(request: &str, reply: &Value) -> char {
    if reply["success"] == true {
        let is_there = match action(request).as_str() {
            "sync" => reply["conversations"].as_object().unwrap().values().all(|one| one["state"] == "ok"),
            "list_rooms" => !reply["rooms"].as_array().unwrap().is_empty(),
            "list_private_chats" => !reply["chats"].as_array().unwrap().is_empty(),
            "get_users" | "get_presence" => !reply["users"].as_array().unwrap().is_empty(),
            _ => true,
        };
        return if is_there { '+' } else { 'n' };
    }
    match reply["code"].as_str().unwrap() {
        "forbidden" => 'f',
        "not_found" => 'n',
        "unauthenticated" => 'u',
        "conflict" => 'c',
        "invalid_params" => 'i',
        code => panic!("{request} got {code}"),
    }
}

/// Actions of members (rows: member, admin, owner) on users in every relation: `c` is a conflict.
const TARGETS: &[(&str, [&str; 3])] = &[
    (
        r#"{"action":"invite_member","room_id":"$room","user_id":"$target"}"#,
        ["ffffffff", "+++++c++", "+++++c++"],
    ),
    (
        r#"{"action":"remove_member","room_id":"$room","user_id":"$target"}"#,
        ["ffffffff", "n++nnnff", "n++nnn+f"],
    ),
    (
        r#"{"action":"ban_member","room_id":"$room","user_id":"$target"}"#,
        ["ffffffff", "++++++ff", "+++++++f"],
    ),
    (
        r#"{"action":"unban_member","room_id":"$room","user_id":"$target"}"#,
        ["ffffffff", "++++++++", "++++++++"],
    ),
    (
        r#"{"action":"set_role","room_id":"$room","user_id":"$target","role":"admin"}"#,
        ["ffffffff", "ffffffff", "nn+nnn++"],
    ),
    (
        r#"{"action":"set_role","room_id":"$room","user_id":"$target","role":"owner"}"#,
        ["ffffffff", "ffffffff", "nn+nnn++"],
    ),
];

#[tokio::test]
async fn sec_31_members_act_only_on_those_below_them() {
    for (template, rows) in TARGETS {
        for (actor, row) in [Standing::Member, Standing::Admin, Standing::Owner].into_iter().zip(rows) {
            for (target, expected) in Standing::ALL.into_iter().zip(row.chars()) {
                let mut stage = Stage::new(Visibility::Private, actor).await;
                let user: UserId = stage.world.auth.add_user("target");
                stand(&stage.world, stage.founder, stage.room, (user, target)).await;
                let request = stage.fill(&template.replace("$target", &user.to_string()));
                let what = format!("{actor:?} on {target:?}");
                expect(&mut stage.actor, &request, expected, &what).await;
            }
        }
    }
}

/// Of each action that takes an id, the replies to ids that name nothing the caller may know of.
#[tokio::test]
async fn sec_33_invisible_absent_malformed_and_wrong_ids_get_the_same_bytes() {
    let mut compared = 0;
    for standing in [Standing::Stranger, Standing::Left, Standing::Removed, Standing::Banned] {
        let mut stage = Stage::new(Visibility::Private, standing).await;
        let other = stage.world.auth.add_user("other");
        let founder = stage.world.chat.as_user(stage.founder);
        let foreign_chat = founder.open_private_chat(other).await.unwrap().id.to_string();
        let rooms = ROOMS.iter().map(|row| (row.0, "$chat"));
        let chats = CHATS.iter().map(|row| (row.0, "$room"));
        for (template, wrong_kind) in rooms.chain(chats).filter(|(template, _)| template.contains("$id")) {
            if action(template) == "sync" && wrong_kind == "$chat" {
                continue;
            }
            let invisible = if wrong_kind == "$chat" { "$room" } else { &foreign_chat };
            let mut replies = BTreeSet::new();
            for id in NO_IDS.into_iter().chain([invisible, wrong_kind]) {
                let request = request(&stage, template, id);
                let reply = Stage::raw(&mut stage.actor, &request).await;
                // `sync` answers under the key that was given.
                replies.insert(reply.replace(&format!("\"{}\"", stage.fill(id)), "\"$id\""));
                compared += 1;
            }
            assert_eq!(replies.len(), 1, "{template} as {standing:?} tells ids apart: {replies:#?}");
        }
    }
    println!("{compared} replies compared");
}

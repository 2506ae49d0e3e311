//! The real binary: how it starts, what it says, and how it refuses to start.

mod support;

use std::net::TcpListener;

use support::Server;

#[test]
fn it_starts_without_configuration_and_says_so_in_one_line() {
    let server = Server::start();
    let admin = server.admin.unwrap();
    let expected = format!("chat-server ready: http://{} (admin http://{admin})", server.address);
    assert_eq!(server.ready_line, expected);
    assert_ne!(server.address.port(), 0);
    let ended = {
        server.terminate();
        server.into_ended()
    };
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[test]
fn the_admin_listener_can_be_off() {
    let server = Server::with().set("admin_listen", "off").start();
    assert_eq!(server.ready_line, format!("chat-server ready: http://{}", server.address));
    assert_eq!(server.admin, None);
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Server::with().set("listen", &address).try_start().expect_err("the port is taken");
    assert_eq!(ended.code, Some(69));
    let lines: Vec<&str> = ended.log.lines().filter(|line| line.starts_with("chat-server: ")).collect();
    assert_eq!(lines.len(), 1, "{}", ended.log);
    assert!(lines[0].contains(&address) && lines[0].contains("in use") && lines[0].contains("--listen"));
}

#[test]
fn wrong_settings_are_reported_together_before_anything_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = Server::with()
        .set("listen", taken.local_addr().unwrap().to_string())
        .set("stroe", "sqlite")
        .set("drain_seconds", "soon")
        .arg("--limit-user-rooms=many")
        .try_start()
        .expect_err("the settings are wrong");
    assert_eq!(ended.code, Some(64), "{}", ended.log);
    for part in ["CHAT_STROE", "did you mean store?", "CHAT_DRAIN_SECONDS", "--limit-user-rooms"] {
        assert!(ended.log.contains(part), "{part} is missing in {}", ended.log);
    }
}

#[test]
fn an_unknown_flag_is_wrong_usage() {
    let ended = Server::with().arg("--lisen=x").run();
    assert_eq!(ended.code, Some(64));
    assert!(ended.log.contains("--listen"), "{}", ended.log);
}

#[test]
fn help_and_version_are_no_errors() {
    let help = Server::with().arg("--help").run();
    assert_eq!(help.code, Some(0));
    assert!(help.output.contains("--admin-listen") && help.output.contains("backup"), "{}", help.output);
    let version = Server::with().arg("--version").run();
    assert_eq!(version.code, Some(0));
    assert_eq!(version.output, format!("chat-server {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_configuration_can_be_checked_and_shown_without_starting() {
    let checked = Server::with().arg("--check-config").arg("--limit-user-rooms=7").run();
    assert_eq!(checked.code, Some(0), "{}", checked.log);
    assert!(checked.output.contains("limit_user_rooms = 7  # --limit-user-rooms"), "{}", checked.output);
    assert!(checked.output.contains("listen = \"127.0.0.1:0\"  # CHAT_LISTEN"), "{}", checked.output);
    assert!(checked.output.contains("drain_seconds = 20  # default"), "{}", checked.output);
    let wrong = Server::with().arg("--check-config").set("store", "paper").run();
    assert_eq!(wrong.code, Some(64));
}

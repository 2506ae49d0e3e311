//! The real binary: how signals stop it.

mod support;

use rustix::process::Signal;
use support::Server;

#[test]
fn sec_89_a_signal_lets_the_server_finish_and_exit_with_success() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start();
        server.signal(signal);
        assert_eq!(server.wait(), Some(0));
        assert!(
            server.log().contains("stopped") && server.log().contains("graceful=true"),
            "{}",
            server.log()
        );
    }
}

#[test]
fn sighup_ends_nothing() {
    let mut server = Server::start();
    server.signal(Signal::HUP);
    server.wait_for_log("nothing to reload");
    assert_eq!(server.ask_admin("/readyz").status, 200);
    server.terminate();
    assert_eq!(server.wait(), Some(0));
}

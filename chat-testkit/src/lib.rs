//! What tests of a chat need: conformance suites for the four ports, model tests, faulty doubles, a clock that
//! stands still, and a WebSocket client. Nothing here is for production.
//!
//! # Does my store keep the contract?
//!
//! Write a [`Harness`] that makes your store, and one line per port that it implements. Every case of the suite
//! becomes a `#[test]`; each has a store of its own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use chat_core::port::RoomStore;
//! use chat_testkit::{Harness, suite};
//! # mod my_store { pub use chat_core::memory::MemoryStore as MyStore; }
//! use my_store::MyStore;
//!
//! /// Whatever a store needs (a directory, a database) lives as long as this and goes with it.
//! struct MyHarness;
//!
//! #[async_trait]
//! impl Harness<dyn RoomStore> for MyHarness {
//!     async fn start(&mut self) -> Arc<dyn RoomStore> {
//!         Arc::new(MyStore::new())
//!     }
//!
//!     // A store that keeps its data opens it again; this one keeps nothing.
//!     async fn restart(&mut self) -> Option<Arc<dyn RoomStore>> {
//!         None
//!     }
//! }
//!
//! chat_testkit::room_store_tests!(MyHarness);
//!
//! // The same cases outside of a test: the names of those that fail.
//! # fn main() {
//! use chat_testkit::room_store::{CASES, start};
//! let failing = suite::failing(CASES, || start(MyHarness));
//! assert!(failing.is_empty(), "{failing:?}");
//! # }
//! ```
//!
//! The other suites are [`account_store_tests!`], [`presence_hub_tests!`] and [`auth_tests!`]. [`model`] goes on
//! where they end: it makes random calls to your store and to the memory store and compares every answer.
//!
//! # What if the store fails?
//!
//! [`double`] has stores that fail by a script, method by method, and stand-ins for accounts and time.
//!
//! # How fast is it?
//!
//! [`room_store::append_until`] writes as fast as a store allows, and a [`room_store::Writer`] fills a log.
//!
//! # Where does a test get a MongoDB?
//!
//! The feature `mongod` brings `mongod`: servers that belong to the test; and `php_database`: what a PHP chat
//! leaves to be migrated.

pub mod account_store;
pub mod auth;
#[cfg(feature = "client")]
pub mod client;
pub mod double;
pub mod harness;
pub mod model;
#[cfg(feature = "mongod")]
pub mod mongod;
#[cfg(feature = "mongod")]
pub mod php_database;
pub mod presence_hub;
pub mod room_store;
pub mod suite;

mod random;

pub use harness::{Harness, Subject};

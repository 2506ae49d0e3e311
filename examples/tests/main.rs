//! Runs every example: the same code that `cargo run --example` starts, over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may fail with a panic")]

#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../bot.rs"]
mod bot;
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../custom_auth.rs"]
mod custom_auth;
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../embed_axum.rs"]
mod embed_axum;
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../load/main.rs"]
mod load;
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../moderation.rs"]
mod moderation;
#[allow(dead_code, reason = "its `main` is for `cargo run`")]
#[path = "../own_action.rs"]
mod own_action;

mod application;
mod generator;
mod hooks;
mod server;

//! The images on a real engine, as operators meet them. `cargo xtask test` builds what is run here; by itself:
//! `cargo xtask images --for-tests && cargo nextest run --workspace -E 'binary(containers)'`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod demo;
mod health;
mod import;
mod keys;
mod mail;
mod matomo;
mod output;
mod shape;
mod stack;
mod stop;
mod user;
mod userland;
mod volume;

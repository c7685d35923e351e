//! Harness for the journeys: an embedded stand-in for Matomo, logs whose every line is unique, and a stack that runs the
//! built binary between the two.
//!
//! ```text
//! log/      lines of visitors, bots and errors, written as a site's folder      what goes in
//! stack/    the binary with a folder of its own; killed, stopped, run again     what happens
//! matomo/   keeps what a real Matomo would keep; fault.rs breaks the wire       what comes out
//! compare.rs, arrival.rs, golden.rs                                             is it the same?
//! deployment/ compose files, Rancher's form, Kubernetes       do they say what the programs read?
//! engine/     images and containers, by the `docker` command  does it hold where it runs?
//! acceptance/ a sidecar and its job, as any process or as the first one            does it behave?
//! ```

pub mod acceptance;
pub mod arrival;
pub mod compare;
pub mod console;
pub mod dependencies;
pub mod deployment;
pub mod engine;
pub mod fault;
pub mod fetch;
pub mod forged;
pub mod golden;
pub mod installation;
pub mod log;
pub mod mail;
pub mod mariadb;
pub mod matomo;
pub mod milter;
pub mod postfix;
mod processes;
pub mod random;
pub mod repository;
pub mod rsyncd;
pub mod sshd;
pub mod stack;
pub mod stall;
pub mod tokens;
pub mod web;

//! The program behind `cargo xtask`.
fn main() {}

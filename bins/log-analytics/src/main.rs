//! Imports web server access logs into Matomo, each line exactly once.
fn main() {}

//! Imports web server access logs into Matomo, each line exactly once.

pub mod format;
pub mod hit;

//! Imports web server access logs into Matomo, each line exactly once.

pub mod format;
pub mod hit;
pub mod options;
pub mod summary;

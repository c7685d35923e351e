//! The plugins that log in: a slim image lacks them, and then no mail leaves for ever.

use std::fs;
use std::path::Path;

/// Where Debian puts them, beside a folder per architecture.
const LIBRARIES: &str = "/usr/lib";
/// A relay offers one of these at least.
const NEEDED: [&str; 2] = ["libplain.so", "liblogin.so"];

/// The plugins that are missing.
pub fn missing() -> Vec<&'static str> {
    let folders = fs::read_dir(LIBRARIES).into_iter().flatten().flatten().map(|entry| entry.path().join("sasl2"));
    let folders: Vec<_> =
        folders.chain([Path::new(LIBRARIES).join("sasl2")]).filter(|folder| folder.is_dir()).collect();
    NEEDED.into_iter().filter(|name| !folders.iter().any(|folder| folder.join(name).exists())).collect()
}

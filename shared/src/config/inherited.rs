//! What of our own environment matters to programs that we start.

use std::{env, path::PathBuf};

/// Where programs are looked for when `PATH` is not set, as most shells do.
const FOLDERS_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The folders of `PATH`, in their order.
pub(crate) fn search_path() -> Vec<PathBuf> {
    let path = env::var_os("PATH").filter(|path| !path.is_empty()).unwrap_or_else(|| FOLDERS_DEFAULT.into());
    env::split_paths(&path).collect()
}

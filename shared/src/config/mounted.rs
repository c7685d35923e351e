//! A value in a file of its own, as container engines mount secrets.

use std::{fs::File, io::Read as _, path::Path};

/// A mounted secret is a line, not a library.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The content of a file without one line end, or the reason why it cannot be used.
pub(super) fn text_of_file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("which cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Err("which is a directory; a file was expected".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err("which is larger than 1 MiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "which is not UTF-8 text".to_owned())?;
    if text.contains('\0') {
        return Err("which contains a NUL byte".to_owned());
    }
    let text = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(text.to_owned())
}

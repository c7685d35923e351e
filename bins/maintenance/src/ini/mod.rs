//! Matomo's `config.ini.php`: read and edited by section, as PHP reads it, everything else left byte for byte.

mod document;
mod file;
mod scan;
#[cfg(test)]
mod tests;
mod value;

pub use document::{Document, IniError};
pub use file::{ConfigFile, FileTrouble};
pub use value::{Value, decode, is_true};

//! The types of the settings: each knows what Postfix would take for something else, and refuses it.
//!
//! `main.cf` expands `$`, joins lines that begin with a blank and cuts blanks at both ends, and most of its
//! parameters are never checked by Postfix; so nothing reaches it that was not read here.

mod address;
mod domain;
mod host;
mod interface;
mod level;
mod list;
mod login;
mod network;
mod path;
mod relay;
mod text;

pub use address::MailAddress;
pub use domain::Domain;
pub use host::HostName;
pub use interface::{Interface, Protocol};
pub use level::{ClientLevel, ServerLevel, TlsMode};
pub use list::List;
pub use login::{Password, User};
pub use network::Network;
pub use path::CleanPath;
pub use relay::{Port, Relay};
pub use text::Banner;

/// Why a text is not one line: Postfix would take the rest for something of its own.
fn one_line(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control()) {
        None => Ok(()),
        Some('\n' | '\r') => Err("it has more than one line".to_owned()),
        Some(_) => Err("it contains a control character".to_owned()),
    }
}

//! The password map: one line that nobody but root may read, in the table type that needs no further run.

use shared::secret::HIDDEN;

use crate::config::Upstream;
use crate::value::{Password, User};

/// Name of the file.
pub const NAME: &str = "relay_passwd";
/// Postfix reads it before it gives up the rights of root.
pub const MODE: u32 = 0o600;

/// The line. The key is the next hop as `main.cf` has it: no other spelling is surely found.
pub fn render(relay: &Upstream, user: &User, password: &Password) -> String {
    line(relay, user, password.reveal())
}

/// The line as it may be shown.
pub fn render_hidden(relay: &Upstream, user: &User) -> String {
    line(relay, user, HIDDEN)
}

fn line(relay: &Upstream, user: &User, password: &str) -> String {
    format!("{} {user}:{password}\n", relay.next_hop)
}

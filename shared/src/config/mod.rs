//! Settings from the environment, declared once: the declaration is the reader, the error text,
//! the redaction and the reference page.
//!
//! ```
//! shared::settings! {
//!     /// How to reach Matomo.
//!     pub struct Settings {
//!         /// Address of Matomo, as this container reaches it.
//!         pub matomo: Address = required("MATOMO_URL").example("http://matomo"),
//!         /// Token of a Matomo user who may write.
//!         pub token: Secret = required("MATOMO_TOKEN"),
//!         /// How many requests may be on their way at once.
//!         pub recorders: Count<1, 64> = default("MATOMO_RECORDERS", "4"),
//!         /// More certificates to trust.
//!         pub ca_file: Option<PathBuf> = optional("CA_FILE"),
//!         // A field without `=` is a group of settings that was declared elsewhere.
//!         pub log: shared::logging::LogOptions,
//!     }
//! }
//! # use shared::{config::*, secret::Secret}; use std::path::PathBuf;
//! let variables = [("MATOMO_URL", "matomo"), ("MATOMO_TOKEN", "0123")];
//! let reading = shared::config::read::<Settings>(variables, &Neighbours::default())?;
//! assert_eq!(reading.settings.matomo.as_str(), "http://matomo");
//! # Ok::<(), ConfigError>(())
//! ```
//!
//! Each variable may also be given as `NAME_FILE`, the path of a file with the value in it.
//!
//! A small macro rather than a table of constants plus a reader function: the newcomer reads one
//! list, in which a name, its type, its default and its sentence cannot drift apart.
//! Not built on envy: collecting every fault needs a layer around it that is larger than this reader.

mod address;
mod declaration;
mod family;
mod fault;
pub(crate) mod inherited;
mod mounted;
mod neighbour;
mod quantity;
mod reader;
mod report;
#[cfg(test)]
mod tests;
mod value;

pub use address::Address;
pub use declaration::{Declared, Setting, default, optional, required};
pub use family::{Family, Kin, Standing};
pub use fault::{ConfigError, Fault};
pub use neighbour::Neighbours;
pub use quantity::{Count, Size, Span};
pub use reader::{Reader, Reading, from_env, read};
pub use report::{Effective, Origin, faults_in_declaration, reference};
pub use value::Value;

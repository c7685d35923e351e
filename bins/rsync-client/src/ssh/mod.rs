//! Everything ssh: our key pair, the hosts we know, and the configuration that every ssh of ours reads.

mod authorized;
mod client;
mod host_key;
mod key;
#[cfg(test)]
mod tests;
mod workplace;

pub use authorized::{AuthorizedKey, AuthorizedKeys, folder_name, restricted};
pub use client::{Client, ClientOptions, Prepared, SshError};
pub use host_key::HostKeys;
pub use key::{KeyError, KeyType, Keys, PublicKey, named};

//! The other end of rsync for clients of `server`: each key has a folder, and nothing else.
//!
//! sshd runs `rsync-client rrsync` for a key, whatever its client asks for. [`request`] reads that and refuses all but
//! the other end of an rsync; [`session`] then lets rsync's own daemon serve it, which the kernel holds in the key's
//! folder ([`module`]). [`share`] says at the start which folders are safe to serve, [`parameters`] which words of
//! SSH_PARAMS leave sshd as strict as we made it.

pub mod module;
pub mod parameters;
pub mod request;
pub mod session;
pub mod share;

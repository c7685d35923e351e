//! The mechanisms (SASL) by which this Postfix can log in with a name and a password.
//!
//! Postfix takes the strongest that relay and plugins have in common, and does not try another when that fails. Debian's
//! plugins know more than works: NTLM, which Exchange offers before LOGIN, and GSSAPI, which wants a ticket.

/// Those of Debian's `libsasl2-modules` 2.1.28 that need no more than a name and a password.
pub const BY_PASSWORD: [&str; 9] = [
    "plain",
    "login",
    "cram-md5",
    "digest-md5",
    "scram-sha-1",
    "scram-sha-224",
    "scram-sha-256",
    "scram-sha-384",
    "scram-sha-512",
];

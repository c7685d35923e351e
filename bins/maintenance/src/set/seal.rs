//! The seal of a set: a keyed hash of its manifest, which holds the hashes of everything else. Whoever can write into the
//! folder for sets, and has no key, cannot make a set that carries one.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use shared::config::Value;
use shared::entry::{Exit, Failure};
use shared::secret::{HIDDEN, Secret};

use super::shelf::Set;

/// Its file name, beside the manifest.
pub const SEAL: &str = "manifest.json.hmac-sha256";
/// A shorter key could be guessed.
const KEY_LETTERS_MIN: usize = 16;

/// The key of the seals.
#[derive(Debug, Clone)]
pub struct SealKey(Secret);

impl Value for SealKey {
    const SECRET: bool = true;

    fn rule() -> String {
        format!("text of {KEY_LETTERS_MIN} letters or more (kept secret)")
    }

    fn parse(text: &str) -> Result<Self, String> {
        if text.len() < KEY_LETTERS_MIN { Err("it is too short".to_owned()) } else { Ok(Self(Secret::new(text))) }
    }

    fn shown(_: &str) -> String {
        HIDDEN.to_owned()
    }
}

/// What the seal of a set says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Seal {
    /// Made with our key, of this manifest.
    Good,
    /// There is none.
    Missing,
    /// Made with another key, or of another manifest.
    Wrong,
}

/// A set that does not carry the seal of our key.
#[derive(Debug, thiserror::Error)]
#[error("the set {set} {}", if *seal == Seal::Missing { "has no seal" } else { "does not carry our seal: its seal is wrong" })]
pub struct Unsealed {
    set: String,
    seal: Seal,
}

impl From<Unsealed> for Failure {
    fn from(error: Unsealed) -> Self {
        Failure::new(Exit::Failed, error).help(
            "it was made without BACKUP_KEY, with another one, or by somebody else; restore it with --trust only if you know where it comes from",
        )
    }
}

impl SealKey {
    fn mac(&self, manifest: &[u8]) -> Option<Hmac<Sha256>> {
        // A keyed hash takes a key of any length; `None` would be a library that does not.
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.reveal().as_bytes()).ok()?;
        mac.update(manifest);
        Some(mac)
    }

    /// The seal of a manifest, as a line of hexadecimal digits.
    pub fn seal(&self, manifest: &[u8]) -> String {
        let bytes = self.mac(manifest).map(|mac| mac.finalize().into_bytes());
        let mut text = bytes.into_iter().flatten().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        text.push('\n');
        text
    }

    /// What the seal of a set says.
    pub fn judge(&self, set: &Set) -> Seal {
        let Some(seal) = &set.seal else { return Seal::Missing };
        let (Some(bytes), Some(mac)) = (bytes_of(seal.trim()), self.mac(&set.text)) else { return Seal::Wrong };
        // Compared in constant time.
        if mac.verify_slice(&bytes).is_ok() { Seal::Good } else { Seal::Wrong }
    }

    /// A set with the seal of this key.
    ///
    /// # Errors
    /// When it has none, or a wrong one.
    pub fn demand(&self, set: &Set) -> Result<(), Unsealed> {
        match self.judge(set) {
            Seal::Good => Ok(()),
            seal => Err(Unsealed { set: set.name.clone(), seal }),
        }
    }
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seal_is_the_keyed_hash_of_rfc_4231() {
        // Test case 3 has a key of bytes that are no text; case 2, "Jefe", is shorter than we allow.
        let key = SealKey(Secret::new("Jefe"));
        let seal = key.seal(b"what do ya want for nothing?");
        assert_eq!(seal, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\n");
        assert!(SealKey::parse("0123456789abcde").is_err() && SealKey::parse("0123456789abcdef").is_ok());
        assert_eq!(format!("{:?}", SealKey::parse("0123456789abcdef").unwrap()), "SealKey((hidden))");
    }
}

//! The running hash that proves which bytes stand before an offset of a content.
//!
//! Bytes are hashed in blocks of 64 KiB, each block together with the hash of all before it. So a proof can be resumed from the
//! beginning of its last block, and 64 KiB are read again at most where a file has grown.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use xxhash_rust::xxh3::Xxh3;

/// Bytes of a block.
pub const BLOCK_BYTES: u64 = 64 * 1024;

/// An xxh3-128 hash with the alignment of bytes, which saves memory: the ledger holds a proof for every known file.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Hash([u8; 16]);

impl From<u128> for Hash {
    fn from(hash: u128) -> Self {
        Self(hash.to_le_bytes())
    }
}

impl From<Hash> for u128 {
    fn from(hash: Hash) -> Self {
        Self::from_le_bytes(hash.0)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", u128::from(*self))
    }
}

/// Which bytes stand before an offset of a content: xxh3-128 over them, block by block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Proof {
    /// The offset, in unpacked bytes.
    pub at: u64,
    /// Hash of the bytes before `at`.
    pub hash: Hash,
    /// Hash of the bytes before the block that ends at `at` or is not full there; 0 for the first block.
    pub block: Hash,
}

impl Proof {
    /// The proof of the first bytes of a content, at most a block of them.
    pub fn of_head(bytes: &[u8]) -> Self {
        let mut hasher = PrefixHasher::default();
        hasher.update(bytes);
        hasher.proof()
    }

    /// Where the block begins that ends at `at` or is not full there.
    pub fn block_begin(&self) -> u64 {
        self.at.saturating_sub(1) / BLOCK_BYTES * BLOCK_BYTES
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:?}.{:?}", self.at, self.hash, self.block)
    }
}

impl std::str::FromStr for Proof {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NONE: &str = "not a proof";
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NONE);
        let at = u64::from_str_radix(next()?, 16).map_err(|_| NONE)?;
        let mut hash = || u128::from_str_radix(next()?, 16).map(Hash::from).map_err(|_| NONE);
        let proof = Self { at, hash: hash()?, block: hash()? };
        if parts.next().is_none() { Ok(proof) } else { Err(NONE) }
    }
}

impl Serialize for Proof {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'d> Deserialize<'d> for Proof {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Hashes a content from its beginning, or from the beginning of a block.
#[derive(Clone, Default)]
pub struct PrefixHasher {
    at: u64,
    /// Where the block begins whose bytes are in `state`.
    begin: u64,
    /// Hash of the bytes before it.
    block: Hash,
    /// Made when the first byte of the block comes.
    state: Option<Box<Xxh3>>,
}

impl PrefixHasher {
    /// Goes on at the beginning of the block of `proof`; feed it the bytes from there on.
    pub fn at_block_of(proof: &Proof) -> Self {
        Self { at: proof.block_begin(), begin: proof.block_begin(), block: proof.block, state: None }
    }

    /// Stands at any place; for reading only, as it proves nothing.
    pub fn unproven(at: u64) -> Self {
        Self { at, begin: at, block: Hash::default(), state: None }
    }

    /// Where the next byte stands.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// The next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.at - self.begin == BLOCK_BYTES
                && let Some(state) = self.state.take()
            {
                (self.begin, self.block) = (self.at, state.digest128().into());
            }
            let room = (BLOCK_BYTES - (self.at - self.begin)) as usize;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.state.get_or_insert_with(|| begun(self.begin, self.block)).update(now);
            self.at += now.len() as u64;
            bytes = later;
        }
    }

    /// What stands before [`PrefixHasher::at`].
    pub fn proof(&self) -> Proof {
        let hash = self.state.as_ref().map_or(self.block, |state| state.digest128().into());
        Proof { at: self.at, hash, block: self.block }
    }
}

/// A block begins with the hash of all before it; the first one with nothing.
fn begun(at: u64, block: Hash) -> Box<Xxh3> {
    let mut state = Box::new(Xxh3::new());
    if at > 0 {
        state.update(&block.0);
    }
    state
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
    }

    fn proved(bytes: &[u8]) -> Proof {
        let mut hasher = PrefixHasher::default();
        hasher.update(bytes);
        hasher.proof()
    }

    proptest! {
        #[test]
        fn a_proof_does_not_depend_on_the_pieces_it_was_made_of(cuts in prop::collection::vec(0usize..200_000, 0..6)) {
            let bytes = content(200_000);
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut hasher = PrefixHasher::default();
            let mut from = 0;
            for cut in cuts {
                hasher.update(&bytes[from..cut]);
                prop_assert_eq!(hasher.proof(), proved(&bytes[..cut]));
                from = cut;
            }
            hasher.update(&bytes[from..]);
            prop_assert_eq!(hasher.proof(), proved(&bytes));
        }

        #[test]
        fn a_proof_is_resumed_at_its_block(at in prop_oneof![1usize..200_000, Just(65_536), Just(131_072)]) {
            let bytes = content(200_000);
            let proof = proved(&bytes[..at]);
            let mut resumed = PrefixHasher::at_block_of(&proof);
            resumed.update(&bytes[resumed.at() as usize..at]);
            prop_assert_eq!(resumed.proof(), proof);
            resumed.update(&bytes[at..]);
            prop_assert_eq!(resumed.proof(), proved(&bytes));
        }
    }

    #[test]
    fn the_first_block_is_hashed_as_it_is() {
        let bytes = content(70_000);
        assert_eq!(Proof::of_head(&bytes[..100]).hash, xxh3_128(&bytes[..100]).into());
        assert_eq!(
            Proof::of_head(&bytes[..65_536]),
            Proof { at: 65_536, hash: xxh3_128(&bytes[..65_536]).into(), block: Hash::default() }
        );
    }

    #[test]
    fn a_proof_survives_the_journal() {
        for length in [0, 1, 65_535, 65_536, 65_537] {
            let proof = proved(&content(length));
            let text = serde_json::to_string(&proof).unwrap();
            assert_eq!(serde_json::from_str::<Proof>(&text).unwrap(), proof);
        }
        assert!("1.2".parse::<Proof>().is_err() && "1.2.3.4".parse::<Proof>().is_err());
    }
}

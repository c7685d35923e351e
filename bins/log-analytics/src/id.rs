//! Numbers by which the stages speak of the same things.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use xxhash_rust::xxh3::xxh3_64;

use crate::discover::SiteId;

/// Number of a content within its site's journal, whatever files hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// Number of a batch within its site's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentId(pub u64);

/// Number of a journal, drawn when it is made: two journals of a site never make the same mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct JournalId(pub u64);

/// The visitor id (`cid`) of a batch on the ledger site, by which Matomo can be asked whether the batch arrived. Written as 16
/// hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

impl Mark {
    /// The mark of a batch: by its number, so that another process can ask for batches that its ledger does not know.
    pub fn of(journal: JournalId, site: SiteId, intent: IntentId) -> Self {
        Self::hashed(&[b"batch", &journal.0.to_le_bytes(), &site.0.to_le_bytes(), &intent.0.to_le_bytes()])
    }

    /// The mark under which the journals of a site announce themselves.
    pub fn of_journals(site: SiteId) -> Self {
        Self::hashed(&[b"journals", &site.0.to_le_bytes()])
    }

    fn hashed(parts: &[&[u8]]) -> Self {
        // Matomo takes an id of zeros for none.
        Self(xxh3_64(&parts.concat()).max(1))
    }

    /// What a hit of the batch carries as `pv_id` (six letters and digits), so that Matomo can be asked for it alone.
    pub fn page_view(self, file: FileId, offset: u64) -> [u8; PAGE_VIEW_DIGITS] {
        const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash =
            (self.0 ^ offset.wrapping_mul(ODD) ^ u64::from(file.0).wrapping_mul(ODD.rotate_left(32))).wrapping_mul(ODD);
        hash ^= hash >> 32;
        let mut digits = [0; PAGE_VIEW_DIGITS];
        for digit in &mut digits {
            *digit = DIGITS[(hash % 62) as usize];
            hash /= 62;
        }
        digits
    }
}

/// Matomo reads six characters (`idpageview`).
pub const PAGE_VIEW_DIGITS: usize = 6;

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

macro_rules! written_in_hex {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'d> Deserialize<'d> for $name {
            fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                u64::from_str_radix(&text, 16).map(Self).map_err(D::Error::custom)
            }
        }
    )*};
}

written_in_hex!(Mark, JournalId);

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn marks_differ_by_journal_site_and_number() {
        let mark = |journal, site, number| Mark::of(JournalId(journal), SiteId(site), IntentId(number));
        let marks = [mark(1, 4, 0), mark(2, 4, 0), mark(1, 5, 0), mark(1, 4, 1), Mark::of_journals(SiteId(4))];
        assert_eq!(marks.iter().collect::<HashSet<_>>().len(), marks.len());
        assert_eq!(mark(1, 4, 0), mark(1, 4, 0));
    }

    #[test]
    fn page_views_of_a_batch_differ() {
        let mark = Mark(77);
        let views: HashSet<_> =
            (0..10_000).map(|line| mark.page_view(FileId(1 + line % 2), u64::from(line) * 97)).collect();
        assert!(views.len() >= 9_998, "{}", views.len());
        assert_ne!(mark.page_view(FileId(1), 0), Mark(78).page_view(FileId(1), 0));
    }
}

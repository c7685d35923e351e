//! The lines a batch was made of: ascending offsets, written as short text.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const BITS_PER_DIGIT: u32 = 5;
const MORE: u64 = 1 << BITS_PER_DIGIT;

/// Offsets of lines in one file, ascending. As text, the distances between them in base 32 digits of 5 bits,
/// lowest first; a digit from 32 on says that more follow. A combined log takes about two characters a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(Vec<u64>);

impl Offsets {
    /// Sorts the offsets of a batch.
    pub fn new(mut offsets: Vec<u64>) -> Self {
        offsets.sort_unstable();
        Self(offsets)
    }

    /// Takes offsets that ascend.
    pub fn ascending(offsets: Vec<u64>) -> Self {
        debug_assert!(offsets.is_sorted(), "a distance between lines is not negative");
        Self(offsets)
    }

    /// The offsets, ascending.
    pub fn as_slice(&self) -> &[u64] {
        &self.0
    }

    /// All but these.
    pub fn without(&self, others: &std::collections::BTreeSet<u64>) -> Self {
        Self(self.0.iter().copied().filter(|offset| !others.contains(offset)).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The offsets as text.
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * 3);
        let mut last = 0;
        for &offset in &self.0 {
            let mut distance = offset - last;
            last = offset;
            loop {
                let low = distance % MORE;
                distance >>= BITS_PER_DIGIT;
                let digit = if distance > 0 { low + MORE } else { low };
                text.push(DIGITS[digit as usize] as char);
                if distance == 0 {
                    break;
                }
            }
        }
        text
    }

    /// Reads such a text.
    pub fn from_text(text: &str) -> Option<Self> {
        let mut offsets = Vec::with_capacity(text.len() / 2);
        let (mut last, mut distance, mut shift) = (0u64, 0u64, 0);
        for byte in text.bytes() {
            let digit = DIGITS.iter().position(|&known| known == byte)? as u64;
            distance |= (digit % MORE).checked_shl(shift)?;
            if digit >= MORE {
                shift += BITS_PER_DIGIT;
            } else {
                last = last.checked_add(distance)?;
                offsets.push(last);
                (distance, shift) = (0, 0);
            }
        }
        (shift == 0).then_some(Self(offsets))
    }
}

impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'d> Deserialize<'d> for Offsets {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
        Self::from_text(&text).ok_or_else(|| D::Error::custom("not a list of offsets"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_written_is_read(offsets in proptest::collection::vec(any::<u64>(), 0..50)) {
            let offsets = Offsets::new(offsets);
            prop_assert_eq!(Offsets::from_text(&offsets.text()), Some(offsets));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Offsets::from_text(&text);
        }
    }

    #[test]
    fn a_cut_list_is_refused() {
        let text = Offsets::new(vec![0, 300, 70_000]).text();
        assert_eq!(Offsets::from_text(&text[..text.len() - 1]), None);
    }
}

//! Searches for the ends of short texts. Where the next quote is a hundred bytes away, choosing the widest instructions of the
//! processor at run time, as `memchr::memchr` does, costs more than they save.

#[cfg(not(target_arch = "x86_64"))]
use memchr::arch::all::memchr::{One, Two};
#[cfg(target_arch = "x86_64")]
use memchr::arch::x86_64::sse2::memchr::{One, Two};

/// Where a byte stands that is mostly among the first sixteen.
#[inline(always)]
pub fn near(byte: u8, text: &[u8]) -> Option<usize> {
    const STEP: usize = size_of::<u64>();
    for start in [0, STEP] {
        let Some(chunk) = text.get(start..).and_then(<[u8]>::first_chunk::<STEP>) else {
            return text.iter().position(|other| *other == byte);
        };
        if let Some(place) = within(byte, *chunk) {
            return Some(start + place);
        }
    }
    one(byte, &text[2 * STEP..]).map(|place| 2 * STEP + place)
}

/// Where it stands in eight bytes that are compared at once: by the well-known test for a zero among the bytes of a word,
/// whose lowest hit is always true.
#[inline(always)]
fn within(byte: u8, chunk: [u8; 8]) -> Option<usize> {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGHS: u64 = ONES << 7;
    let word = u64::from_le_bytes(chunk) ^ (ONES * u64::from(byte));
    let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
    (zeros != 0).then(|| zeros.trailing_zeros() as usize / 8)
}

/// Whether a byte is among so many.
#[inline(always)]
pub fn contains<const N: usize>(byte: u8, text: &[u8; N]) -> bool {
    let (chunks, rest) = text.as_chunks();
    let found = chunks.iter().fold(false, |found, chunk| found | within(byte, *chunk).is_some());
    rest.iter().fold(found, |found, other| found | (*other == byte))
}

/// Where the first such byte stands.
#[inline(always)]
pub fn one(byte: u8, text: &[u8]) -> Option<usize> {
    let search = One::new(byte);
    #[cfg(target_arch = "x86_64")]
    let search = search?;
    search.find(text)
}

/// Where the first of either stands.
#[inline(always)]
pub fn either(byte: u8, other: u8, text: &[u8]) -> Option<usize> {
    let search = Two::new(byte, other);
    #[cfg(target_arch = "x86_64")]
    let search = search?;
    search.find(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_find_what_a_plain_look_finds(text in prop::collection::vec(any::<u8>(), 0..80), needles: [u8; 2], at: prop::sample::Index) {
            let mut text = text;
            for put in [false, true] {
                if put && !text.is_empty() {
                    let at = at.index(text.len());
                    text[at] = needles[0];
                }
                let [byte, other] = needles;
                let first = text.iter().position(|known| *known == byte);
                prop_assert_eq!(near(byte, &text), first);
                prop_assert_eq!(one(byte, &text), first);
                if let Some(chunk) = text.first_chunk::<20>() {
                    prop_assert_eq!(contains(byte, chunk), chunk.contains(&byte));
                }
                let first = text.iter().position(|known| [byte, other].contains(known));
                prop_assert_eq!(either(byte, other, &text), first);
            }
        }
    }
}

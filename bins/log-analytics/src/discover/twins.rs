//! Which of several files begin with all of another one, as far as their first block goes.

use std::collections::HashMap;

use super::Head;

/// How many milestones a beginning has, and the last of them: a file begins with another only if it has that one's milestones,
/// and few have those of a stranger.
type Place = (usize, Option<u64>);

/// Beginnings of files, to be added from the shortest to the longest.
#[derive(Debug, Default)]
pub struct Beginnings {
    /// Their lengths and hashes.
    known: HashMap<Place, Vec<(usize, u64)>>,
}

impl Beginnings {
    /// Whether a file begins with all of a file that was added before. If it does not, adds it.
    pub fn holds_one_of(&mut self, head: &Head) -> bool {
        let milestones = head.milestones();
        let place = |count: usize| -> Place { (count, count.checked_sub(1).map(|last| milestones[last])) };
        let mut fitting = (0..=milestones.len()).filter_map(|count| self.known.get(&place(count))).flatten();
        let is_known = fitting.any(|(length, hash)| head.hash_of(*length) == Some(*hash));
        if !is_known && let Some(hash) = head.hash_of(head.len()) {
            self.known.entry(place(milestones.len())).or_default().push((head.len(), hash));
        }
        is_known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(added: &[&[u8]], bytes: &[u8]) -> bool {
        let mut beginnings = Beginnings::default();
        for one in added {
            assert!(!beginnings.holds_one_of(&Head::of(one.to_vec())));
        }
        beginnings.holds_one_of(&Head::of(bytes.to_vec()))
    }

    #[test]
    fn a_file_that_begins_with_all_of_another_is_found_whatever_their_lengths() {
        let bytes: Vec<u8> = (0..3_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        for (short, long) in [(10, 10), (10, 200), (10, 300), (256, 256), (255, 256), (300, 20_000), (20_000, 20_000)] {
            assert!(holds(&[&bytes[..short]], &bytes[..long]), "{short} of {long}");
            let mut other = bytes[..long].to_vec();
            other[short - 1] = b'!';
            assert!(!holds(&[&bytes[..short]], &other), "{short} of {long}, but for a byte");
            assert!(holds(&[&other, &bytes[..short]], &bytes[..long]), "{short} of {long}, beside another");
        }
    }
}

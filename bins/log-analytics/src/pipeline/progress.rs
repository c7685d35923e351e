//! How far every file is settled: hits come back in another order than they left.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::id::FileId;
use crate::merge::Origin;

/// Hits in flight, per file.
#[derive(Debug, Default)]
pub struct Progress {
    files: FxHashMap<FileId, FileProgress>,
}

#[derive(Debug, Default)]
struct FileProgress {
    /// Offsets of hits in flight, ascending, and whether each is settled; the oldest is not.
    hits: VecDeque<(u64, bool)>,
    /// Number of the oldest.
    first: u32,
    checkpoint: u64,
    read_to: u64,
}

impl Progress {
    /// Begins with a file whose checkpoint is known.
    pub fn open(&mut self, file: FileId, checkpoint: u64) {
        self.files.insert(file, FileProgress { checkpoint, read_to: checkpoint, ..FileProgress::default() });
    }

    /// A hit was read, and with it everything before `read_to`. It gets its number.
    #[inline(always)]
    pub fn hand_out(&mut self, origin: &mut Origin, read_to: u64) {
        let progress = self.files.entry(origin.file).or_default();
        progress.read_to = progress.read_to.max(read_to);
        origin.number = progress.first.wrapping_add(progress.hits.len() as u32);
        progress.hits.push_back((origin.offset, false));
    }

    /// Everything before `offset` was read.
    pub fn read_to(&mut self, file: FileId, offset: u64) {
        let progress = self.files.entry(file).or_default();
        progress.read_to = progress.read_to.max(offset);
    }

    /// These hits are settled.
    pub fn settle(&mut self, hits: &[Origin]) {
        for hits in hits.chunk_by(|one, next| one.file == next.file) {
            let Some(progress) = hits.first().and_then(|hit| self.files.get_mut(&hit.file)) else { continue };
            for hit in hits {
                let place = hit.number.wrapping_sub(progress.first) as usize;
                if let Some((_, settled)) = progress.hits.get_mut(place) {
                    *settled = true;
                }
            }
            while progress.hits.pop_front_if(|(_, settled)| *settled).is_some() {
                progress.first = progress.first.wrapping_add(1);
            }
        }
    }

    /// Every line before this offset is settled.
    pub fn checkpoint(&self, file: FileId) -> u64 {
        let Some(progress) = self.files.get(&file) else { return 0 };
        let oldest = progress.hits.front().map_or(progress.read_to, |&(offset, _)| offset);
        // Hits before the checkpoint are holes being filled; it does not go back for them.
        oldest.max(progress.checkpoint)
    }

    /// Whether no hit of the file is in flight.
    pub fn is_settled(&self, file: FileId) -> bool {
        self.files.get(&file).is_none_or(|progress| progress.hits.is_empty())
    }

    /// Forgets a file that is done.
    pub fn close(&mut self, file: FileId) {
        self.files.remove(&file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkpoint_waits_for_the_oldest_hit() {
        let file = FileId(1);
        let mut progress = Progress::default();
        progress.open(file, 100);
        let [hole, second, third, fourth] = [40, 100, 200, 300].map(|offset| {
            let mut origin = Origin { file, number: 0, offset };
            progress.hand_out(&mut origin, offset);
            origin
        });
        progress.read_to(file, 400);
        progress.settle(&[third]);
        assert_eq!(progress.checkpoint(file), 100);
        progress.settle(&[second]);
        assert_eq!(progress.checkpoint(file), 100);
        progress.settle(&[hole]);
        assert_eq!(progress.checkpoint(file), 300);
        assert!(!progress.is_settled(file));
        progress.settle(&[fourth]);
        assert_eq!(progress.checkpoint(file), 400);
        assert!(progress.is_settled(file));
    }

    #[test]
    fn files_do_not_mix() {
        let mut progress = Progress::default();
        let mut hand_out = |file, offset| {
            let mut origin = Origin { file: FileId(file), number: 0, offset };
            progress.hand_out(&mut origin, offset + 10);
            origin
        };
        let hits = [hand_out(1, 0), hand_out(2, 0), hand_out(1, 10), hand_out(2, 10)];
        progress.settle(&[hits[2], hits[1], hits[0]]);
        assert!(progress.is_settled(FileId(1)));
        assert_eq!(progress.checkpoint(FileId(2)), 10);
    }
}

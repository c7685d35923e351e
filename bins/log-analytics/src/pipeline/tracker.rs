//! How far every file is settled: hits come back in another order than they left.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::interleave::Origin;
use crate::ledger::FileId;

/// Hits under way, per file.
#[derive(Debug, Default)]
pub struct Tracker {
    files: FxHashMap<FileId, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Hits handed out beyond the checkpoint, ascending, and whether each is settled.
    hits: VecDeque<(u64, bool)>,
    /// Hits under way before the checkpoint: holes being filled.
    holes: usize,
    checkpoint: u64,
    read_to: u64,
}

impl Tracker {
    /// Begins with a file whose checkpoint is known.
    pub fn open(&mut self, file: FileId, checkpoint: u64) {
        self.files.insert(file, Progress { checkpoint, read_to: checkpoint, ..Progress::default() });
    }

    /// A hit was read, and with it everything before `read_to`.
    #[inline]
    pub fn hand_out(&mut self, origin: Origin, read_to: u64) {
        let progress = self.files.entry(origin.file).or_default();
        progress.read_to = progress.read_to.max(read_to);
        if origin.offset < progress.checkpoint {
            progress.holes += 1;
        } else {
            progress.hits.push_back((origin.offset, false));
        }
    }

    /// Everything before `offset` was read.
    pub fn read_to(&mut self, file: FileId, offset: u64) {
        let progress = self.files.entry(file).or_default();
        progress.read_to = progress.read_to.max(offset);
    }

    /// The hits at these offsets, ascending, are settled.
    pub fn settle(&mut self, file: FileId, offsets: &[u64]) {
        let Some(progress) = self.files.get_mut(&file) else { return };
        let first = offsets.first().copied().unwrap_or_default();
        let begin = progress.hits.partition_point(|&(offset, _)| offset < first);
        // Both lists ascend, so one walk finds them all.
        let mut hits = progress.hits.range_mut(begin..).peekable();
        for &offset in offsets {
            while hits.next_if(|(known, _)| *known < offset).is_some() {}
            match hits.next_if(|(known, _)| *known == offset) {
                Some((_, settled)) => *settled = true,
                None => progress.holes = progress.holes.saturating_sub(1),
            }
        }
        while progress.hits.front().is_some_and(|&(_, settled)| settled) {
            progress.hits.pop_front();
        }
    }

    /// Every line before this offset is settled.
    pub fn checkpoint(&self, file: FileId) -> u64 {
        let Some(progress) = self.files.get(&file) else { return 0 };
        progress.hits.front().map_or(progress.read_to, |&(offset, _)| offset)
    }

    /// Whether no hit of the file is under way.
    pub fn is_settled(&self, file: FileId) -> bool {
        self.files.get(&file).is_none_or(|progress| progress.hits.is_empty() && progress.holes == 0)
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
        let origin = |offset| Origin { file, offset };
        let mut tracker = Tracker::default();
        tracker.open(file, 100);
        for offset in [40, 100, 200, 300] {
            tracker.hand_out(origin(offset), offset);
        }
        tracker.read_to(file, 400);
        tracker.settle(file, &[200]);
        assert_eq!(tracker.checkpoint(file), 100);
        tracker.settle(file, &[100]);
        assert_eq!(tracker.checkpoint(file), 300);
        tracker.settle(file, &[40, 300]);
        assert_eq!(tracker.checkpoint(file), 400);
        assert!(tracker.is_settled(file));
    }
}

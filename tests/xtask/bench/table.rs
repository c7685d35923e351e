//! Runs by contestant, the middle one of each, and ratios between them.

use crate::usage::Usage;

/// Rows in the order in which they were first added.
#[derive(Default)]
pub struct Table {
    rows: Vec<(&'static str, Vec<(u64, Usage)>)>,
}

impl Table {
    /// One more run.
    pub fn add(&mut self, name: &'static str, run: (u64, Usage)) {
        match self.rows.iter_mut().find(|(known, _)| *known == name) {
            Some((_, runs)) => runs.push(run),
            None => self.rows.push((name, vec![run])),
        }
    }

    /// Print the middle run of every row, by processor time.
    pub fn show(&self) {
        println!("\n{:<24} {:>9} {:>8} {:>8} {:>9} {:>11}", "", "hits", "wall s", "cpu s", "peak MiB", "hits/cpu s");
        for (name, runs) in &self.rows {
            let (hits, Usage { wall_seconds, cpu_seconds, peak_mib }) = middle(runs);
            let speed = hits as f64 / cpu_seconds.max(0.01);
            println!("{name:<24} {hits:>9} {wall_seconds:>8.3} {cpu_seconds:>8.3} {peak_mib:>9.1} {speed:>11.0}");
        }
    }

    /// Print how many times as much one row needs as another: the middle of the ratios of single rounds.
    pub fn ratio(&self, sentence: &str, one: &str, other: &str) {
        let rounds = || self.runs(one).iter().zip(self.runs(other));
        let cpu = middle_of(rounds().map(|(a, b)| a.1.cpu_seconds / b.1.cpu_seconds.max(0.01)).collect());
        let wall = middle_of(rounds().map(|(a, b)| a.1.wall_seconds / b.1.wall_seconds.max(0.001)).collect());
        println!("\n{sentence}: {cpu:.2} (time on the wall: {wall:.2})");
    }

    /// Say whether two rows sent as many hits; figures of different work are void.
    pub fn equal_hits(&self, one: &str, other: &str) {
        let (one, other) = (middle(self.runs(one)).0, middle(self.runs(other)).0);
        println!("Hits are {}.", if one == other { "as many" } else { "NOT as many: the figures are void" });
    }

    fn runs(&self, name: &str) -> &[(u64, Usage)] {
        self.rows.iter().find(|(known, _)| *known == name).map_or(&[], |(_, runs)| runs)
    }
}

fn middle(runs: &[(u64, Usage)]) -> (u64, Usage) {
    let mut runs = runs.to_vec();
    runs.sort_by(|one, other| one.1.cpu_seconds.total_cmp(&other.1.cpu_seconds));
    runs.get(runs.len() / 2).copied().unwrap_or_default()
}

fn middle_of(mut ratios: Vec<f64>) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

//! What functions a program runs, as valgrind sees them, for the linker to lay side by side.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use ::tests::engine::said;
use anyhow::Context;

use crate::usage;

/// The functions that these runs of a binary with symbols run together, by the linker's names.
pub fn of(runs: &[Command], binary: &Path, nm: &Path) -> anyhow::Result<Vec<String>> {
    let report = tempfile::NamedTempFile::new().context("no file for what valgrind reports")?;
    let mut run = BTreeSet::new();
    for command in runs {
        usage::instructions_in(command, report.path())?;
        run.extend(functions(&fs::read_to_string(report.path()).context("cannot read what valgrind reports")?));
    }
    let symbols = said(Command::new(nm).arg(binary))?;
    let defined = symbols.lines().filter_map(|line| {
        let mut words = line.split_whitespace().rev();
        Some((words.next()?, words.next()?))
    });
    let defined = defined.filter(|(name, kind)| match *kind {
        // Which of its forms a function of the C library takes is chosen at every start, before valgrind looks.
        "i" => true,
        "t" | "T" | "w" | "W" => run.contains(*name) || family(name).is_some_and(|family| runs_one_of(&run, family)),
        _ => false,
    });
    let names: BTreeSet<&str> = defined.map(|(name, _)| name).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The names in a report of callgrind: `fn=_start`, and `fn=name'2` for a function that calls itself.
fn functions(report: &str) -> impl Iterator<Item = String> {
    let names = report.lines().filter_map(|line| line.strip_prefix("fn="));
    names.map(|name| name.split('\'').next().unwrap_or(name).to_owned())
}

/// `__strlen_` of `__strlen_avx2`: the C library has forms for several processors, and valgrind is not the latest.
fn family(name: &str) -> Option<&str> {
    let end = ["_sse", "_avx", "_evex"].iter().find_map(|form| name.find(form))?;
    name.starts_with("__").then(|| &name[..=end])
}

fn runs_one_of(run: &BTreeSet<String>, family: &str) -> bool {
    run.range(family.to_owned()..).next().is_some_and(|name| name.starts_with(family))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_names_and_those_of_the_c_library_in_all_forms() {
        let report = "fl=???\nfn=__strlen_avx2\n0 1\ncfn=_other\ncalls=1 0\n0 9\nfn=walk'2\n0 3\n";
        let run: BTreeSet<String> = functions(report).collect();
        assert_eq!(run.iter().map(String::as_str).collect::<Vec<_>>(), ["__strlen_avx2", "walk"]);
        assert!(runs_one_of(&run, family("__strlen_evex512").unwrap()));
        assert!(!runs_one_of(&run, family("__strnlen_evex").unwrap()));
        assert_eq!(family("_ZN6memchr4arch6x86_644avx2E"), None);
    }
}

//! What the programs are built from may be given away with them, and nothing is known against it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tests::dependencies::{Advisories, Advisory, Crate, crates};

/// Advisories that do not concern us, and why. A person reads the advisory before it enters.
const DO_NOT_CONCERN_US: [(&str, &str); 0] = [];

/// Licences that ask for no more than to be named. A new one is read by a person before it enters.
const TAKEN: [&str; 15] = [
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "bzip2-1.0.6",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether an expression of SPDX can be met: of `OR` one, of `AND` all.
fn is_taken(expression: &str) -> bool {
    let bare = expression.replace(['(', ')'], "").replace('/', " OR ");
    let all_of = |choice: &str| choice.split(" AND ").all(|licence| TAKEN.contains(&licence.trim()));
    // `A AND (B OR C)` reads as `(A AND B) OR C` without its parentheses, which is stricter for none of ours.
    bare.split(" OR ").any(all_of)
}

#[test]
fn every_crate_has_a_licence_that_we_may_pass_on() {
    let crates = crates().unwrap();
    assert!(crates.len() > 100, "{} crates", crates.len());
    let is_strange = |used: &&Crate| !is_taken(used.license.as_deref().unwrap_or_default());
    let strange: Vec<&Crate> = crates.iter().filter(is_strange).collect();
    assert!(strange.is_empty(), "read these licences, then add them to TAKEN or choose another crate:\n{strange:#?}");
}

#[test]
fn nothing_is_known_against_a_crate_that_we_use() {
    let (crates, known) = (crates().unwrap(), Advisories::read().unwrap());
    println!("advisories of {}, {} days old: `cargo xtask advisories` takes newer ones", known.taken, known.age_days());
    let is_excused = |advisory: &Advisory| DO_NOT_CONCERN_US.iter().any(|(id, _)| *id == advisory.id);
    for advisory in known.advisories.iter().filter(|advisory| !is_excused(advisory)) {
        let used = crates.iter().find(|used| advisory.concerns(used).unwrap());
        assert!(used.is_none(), "{used:?}: {advisory:#?}");
    }
}

#[test]
fn an_advisory_concerns_the_versions_that_are_neither_patched_nor_unaffected() {
    let some = |text: &str| vec![text.to_owned()];
    let (name, title) = ("x".to_owned(), String::new());
    let advisory =
        Advisory { id: "1".to_owned(), name, title, patched: some(">= 1.2.3, < 2"), unaffected: some("< 1") };
    let concerns = |name: &str, version: &str| {
        advisory.concerns(&Crate { name: name.to_owned(), version: version.to_owned(), license: None }).unwrap()
    };
    let versions = ["0.9.0", "1.0.0", "1.2.2", "1.2.3", "2.0.0"].map(|version| concerns("x", version));
    assert_eq!(versions, [false, true, true, false, true]);
    assert!(!concerns("y", "1.0.0"));
}

#[test]
fn an_expression_is_met_by_one_of_its_choices() {
    assert!(["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "Apache-2.0 AND ISC"].into_iter().all(is_taken));
    assert!(!["", "GPL-3.0", "MIT AND GPL-3.0", "AGPL-3.0 OR GPL-2.0"].into_iter().any(is_taken));
}

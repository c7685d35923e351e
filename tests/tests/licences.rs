//! What the programs are built from may be given away with them: the licence of every crate, from `cargo metadata`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;
use tests::repository::root;

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
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--offline",
        "--filter-platform=x86_64-unknown-linux-gnu",
    ]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} crates", packages.len());
    let told = |package: &Value| format!("{}: {}", package["name"], package["license"]);
    let strange: Vec<String> = packages
        .iter()
        .filter(|package| !is_taken(package["license"].as_str().unwrap_or_default()))
        .map(told)
        .collect();
    assert!(strange.is_empty(), "read these licences, then add them to TAKEN or choose another crate:\n{strange:#?}");
}

#[test]
fn an_expression_is_met_by_one_of_its_choices() {
    assert!(["MIT", "MIT OR GPL-3.0", "MIT/Apache-2.0", "Apache-2.0 AND ISC"].into_iter().all(is_taken));
    assert!(!["", "GPL-3.0", "MIT AND GPL-3.0", "AGPL-3.0 OR GPL-2.0"].into_iter().any(is_taken));
}

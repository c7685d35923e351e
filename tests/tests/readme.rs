//! The README against the programs it talks about.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use tests::repository::root;

/// The words after `program` wherever the text shows it as code.
fn commands_named(text: &str, program: &str) -> Vec<String> {
    let mut in_block = false;
    let mut named = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        let spans: Vec<&str> = if in_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for span in spans {
            let after =
                span.split(program).skip(1).filter_map(|rest| rest.strip_prefix(' ')?.split_whitespace().next());
            let words = after.filter(|word| word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '-'));
            named.extend(words.filter(|word| !word.starts_with('-')).map(str::to_owned));
        }
    }
    named
}

fn knows(program: &str, command: &str) -> bool {
    let answer = Command::new(program).arg("--help").env_clear().output().unwrap();
    let text = String::from_utf8_lossy(&answer.stdout).into_owned();
    text.lines().any(|line| line.split_whitespace().next() == Some(command))
}

#[test]
fn the_readme_names_only_commands_that_exist() {
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md, the first thing that operators read");
    let mut found = Vec::new();
    for (name, program) in
        [("cargo xtask", env!("CARGO_BIN_EXE_xtask")), ("log-analytics", env!("CARGO_BIN_EXE_log-analytics"))]
    {
        let unknown = commands_named(&readme, name).into_iter().filter(|command| !knows(program, command));
        found.extend(unknown.map(|command| format!("{name} {command}")));
    }
    assert!(found.is_empty(), "README.md names commands that do not exist: {found:?}");
}

#[test]
fn the_demo_loses_and_doubles_nothing() {
    let mut demo = Command::new(env!("CARGO_BIN_EXE_xtask"));
    demo.args(["demo", "--binary", env!("CARGO_BIN_EXE_log-analytics")]);
    let told = demo.output().unwrap();
    let story = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && story.contains("Every line is counted once."), "{story}");
}

#[test]
fn commands_are_found_in_code_and_not_in_prose() {
    let text = "Run `log-analytics once --x`.\n```\ndocker run log-analytics check\n```\nThe log-analytics image.";
    assert_eq!(commands_named(text, "log-analytics"), ["once", "check"]);
}

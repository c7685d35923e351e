//! The files of every shape, written down: `golden/<shape>/environment` and what comes of it.
//! After a wanted change: `UPDATE_GOLDEN=1 cargo test -p postfix-config golden`, and read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::from_pairs;
use crate::plan::{Plan, Secrets};

const FOLDER: &str = "/run/postfix-config";

fn shapes() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/golden");
    let mut shapes: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    shapes.sort();
    shapes
}

fn plan(shape: &Path) -> Plan {
    let environment = fs::read_to_string(shape.join("environment")).unwrap();
    let variables: Vec<(&str, &str)> = environment.lines().filter_map(|line| line.split_once('=')).collect();
    let settings = from_pairs(&variables).unwrap_or_else(|letter| panic!("{}: {letter}", shape.display()));
    Plan::of(&settings, Path::new(FOLDER), Secrets::Written)
}

#[test]
fn a_05_15_every_shape_gives_its_golden_files() {
    let shapes = shapes();
    assert!(shapes.len() >= 7, "{shapes:?}");
    for shape in shapes {
        let plan = plan(&shape);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            plan.files.iter().for_each(|file| fs::write(shape.join(file.name), &file.text).unwrap());
        }
        let mut expected: Vec<String> =
            fs::read_dir(&shape).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        expected.retain(|name| name != "environment");
        expected.sort();
        let mut names: Vec<&str> = plan.files.iter().map(|file| file.name).collect();
        names.sort_unstable();
        assert_eq!(names, expected, "{}", shape.display());
        for file in &plan.files {
            let path = shape.join(file.name);
            let golden = fs::read_to_string(&path).unwrap();
            assert_eq!(file.text, golden, "{}: UPDATE_GOLDEN=1 writes it anew", path.display());
        }
    }
}

//! When Matomo, its settings or the volume are in trouble: a clear word, the right exit code, and nothing lost.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::fault::{Fault, Faults};
use tests::log::Line;
use tests::matomo::{Setup, Switch};
use tests::stack::{CANNOT_WRITE_STATE, FAILED, SETTINGS, Stack, TRY_AGAIN, UNREACHABLE};

const PROGRAM: &str = env!("CARGO_BIN_EXE_log-analytics");
const SITE: u64 = 4;
const OTHER_SITE: u64 = 5;
const LEDGER_SITE: u64 = 9;

fn stack() -> Stack {
    Stack::new(PROGRAM, Setup { ledger_site: Some(LEDGER_SITE), ..Setup::default() })
}

fn two_sites() -> Setup {
    let sites = [SITE, OTHER_SITE].map(|site| (site, format!("https://{site}.example.org"))).to_vec();
    Setup { sites, ledger_site: Some(LEDGER_SITE), ..Setup::default() }
}

/// A pass in trouble stores nothing, ends with this code and says a line with these words; once the trouble is
/// over, one more pass brings everything in.
fn gets_over(trouble: fn(&Stack), mended: fn(&Stack), code: i32, words: &[&str]) {
    let stack = stack();
    stack.set("MATOMO_REQUEST_TIMEOUT", "500ms").set("LOG_LEVEL", "info");
    let lines = stack.writes(SITE, 120);
    trouble(&stack);
    let token = stack.matomo().token().to_owned();
    stack.once().ends_with(code).says(words).never_says(&token);
    assert_eq!(stack.matomo().hits().len(), 0);
    mended(&stack);
    stack.until_all_is_in(5);
    stack.holds_exactly(SITE, &lines);
}

fn address_again(stack: &Stack) {
    stack.set("MATOMO_URL", &stack.matomo().url());
}

fn well_again(stack: &Stack) {
    stack.matomo().set_faults(Faults::none());
}

#[test]
fn recording_is_switched_off() {
    let off = |stack: &Stack| stack.matomo().set(Switch::RecordingOff, true);
    let on = |stack: &Stack| stack.matomo().set(Switch::RecordingOff, false);
    gets_over(off, on, TRY_AGAIN, &["recording"]);
}

#[test]
fn matomo_is_in_maintenance() {
    let off = |stack: &Stack| stack.matomo().set(Switch::Maintenance, true);
    let on = |stack: &Stack| stack.matomo().set(Switch::Maintenance, false);
    gets_over(off, on, TRY_AGAIN, &["maintenance"]);
}

#[test]
fn the_database_is_down() {
    let off = |stack: &Stack| stack.matomo().set(Switch::DatabaseDown, true);
    let on = |stack: &Stack| stack.matomo().set(Switch::DatabaseDown, false);
    gets_over(off, on, UNREACHABLE, &["500"]);
}

#[test]
fn the_token_is_wrong() {
    let wrong = |stack: &Stack| {
        stack.set("MATOMO_TOKEN", "ffffffffffffffffffffffffffffffff");
    };
    let right = |stack: &Stack| {
        stack.set("MATOMO_TOKEN", stack.matomo().token());
    };
    gets_over(wrong, right, SETTINGS, &["token"]);
}

#[test]
fn a_web_page_answers_instead_of_matomo() {
    let page = |stack: &Stack| stack.matomo().set_faults(Faults::every(1, Fault::Html));
    gets_over(page, well_again, UNREACHABLE, &["json"]);
}

#[test]
fn the_address_redirects() {
    let redirect = |stack: &Stack| stack.matomo().set_faults(Faults::every(1, Fault::Redirect));
    gets_over(redirect, well_again, UNREACHABLE, &["redirect"]);
}

#[test]
fn nobody_listens_at_the_address() {
    // Port 9 of the loopback address: nobody has listened there since the 1980s.
    let nobody = |stack: &Stack| {
        stack.set("MATOMO_URL", "http://127.0.0.1:9");
    };
    gets_over(nobody, address_again, UNREACHABLE, &["127.0.0.1:9"]);
}

#[test]
fn matomo_never_answers() {
    let silent = |stack: &Stack| stack.matomo().set_faults(Faults::every(1, Fault::Hang));
    gets_over(silent, well_again, UNREACHABLE, &["time"]);
}

#[test]
fn a_folder_of_a_site_that_matomo_does_not_know_holds_up_no_other_site() {
    let stack = stack();
    stack.writes(77, 50);
    let lines = stack.writes(SITE, 100);
    stack.once().ends_with(FAILED).says(&["77"]);
    stack.holds_exactly(SITE, &lines);
    assert!(stack.matomo().hits_of(77).is_empty());
    assert!(stack.logs_of(77).exists());
}

/// A small file system of its own at a folder; only root has it.
struct Volume(PathBuf);

impl Volume {
    fn mount(folder: &Path, options: &str) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(folder.to_owned()))
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(Command::new("mount").args(["-o", &options]).arg(&self.0).status().unwrap().success());
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        // Lazily: a binary that a failed assertion left behind may still stand in it for a moment.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Matomo holds nothing, or nothing twice, while state cannot be written; afterwards everything.
fn gets_over_unwritable_state(stack: &Stack, lines: &[Line], mend: impl FnOnce()) {
    stack.once().ends_with_one_of(&[CANNOT_WRITE_STATE, TRY_AGAIN]);
    let arrival = stack.arrival(SITE, lines);
    assert!(arrival.surplus.is_empty(), "{arrival}");
    mend();
    stack.until_all_is_in(5);
    stack.holds_exactly(SITE, lines);
}

#[test]
fn the_volume_is_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let stack = stack();
    if let Some(volume) = Volume::mount(stack.folder(), "size=8m") {
        let lines = stack.writes(SITE, 100);
        volume.remount("ro");
        gets_over_unwritable_state(&stack, &lines, || volume.remount("rw"));
        return;
    }
    let lines = stack.writes(SITE, 100);
    let permit = |mode| fs::set_permissions(stack.folder(), fs::Permissions::from_mode(mode)).unwrap();
    permit(0o555);
    if fs::write(stack.folder().join("probe"), "").is_ok() {
        println!("NOT RUN: this user may write everywhere and may not mount, so nothing can be made read-only");
        return permit(0o755);
    }
    gets_over_unwritable_state(&stack, &lines, || permit(0o755));
}

/// Takes all the room that is left on a volume.
fn fill(filler: &Path) {
    let mut file = fs::File::create(filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
}

#[test]
fn the_disk_is_full() {
    let stack = stack();
    let Some(_volume) = Volume::mount(stack.folder(), "size=512k") else {
        println!("NOT RUN: filling a disk needs the right to mount a small one");
        return;
    };
    let lines = stack.writes(SITE, 100);
    let filler = stack.folder().join("filler");
    fill(&filler);
    gets_over_unwritable_state(&stack, &lines, || fs::remove_file(&filler).unwrap());
}

#[test]
fn a_full_disk_ends_the_pass_at_the_first_site() {
    let stack = Stack::new(PROGRAM, two_sites());
    let Some(_volume) = Volume::mount(stack.folder(), "size=512k") else {
        println!("NOT RUN: filling a disk needs the right to mount a small one");
        return;
    };
    for site in [SITE, OTHER_SITE] {
        stack.writes(site, 50);
    }
    fill(&stack.folder().join("filler"));
    let outcome = stack.once().ends_with(CANNOT_WRITE_STATE);
    assert_eq!(outcome.output().matches("IMPORT_LOG_ERROR Ledger cannot be used").count(), 1, "{outcome}");
    assert_eq!(stack.matomo().hits().len(), 0);
}

#[test]
fn recording_that_is_switched_off_during_a_pass_ends_it_for_all_sites() {
    let stack = Stack::new(PROGRAM, two_sites());
    stack.set("MATOMO_RECORDERS", "1");
    let lines = [SITE, OTHER_SITE].map(|site| stack.writes(site, 100));
    // Matomo asks for no more than this one answer; it would take the hits of the other site.
    stack.matomo().set_faults(Faults::every(1, Fault::Disabled).after(3).until(4));
    stack.once().ends_with(TRY_AGAIN).says(&["Nothing can be imported now", "recording"]);
    let sites_begun = [SITE, OTHER_SITE].iter().filter(|site| !stack.matomo().hits_of(**site).is_empty()).count();
    assert_eq!(sites_begun, 1);
    stack.until_all_is_in(3);
    stack.holds_exactly(SITE, &lines[0]);
    stack.holds_exactly(OTHER_SITE, &lines[1]);
}

#[test]
fn a_ledger_that_cannot_be_made_is_named_by_once_as_well() {
    let stack = stack();
    let lines = stack.writes(SITE, 100);
    // Where the folder of the ledger belongs there is a file: nobody can make a folder below it, root neither.
    let file = stack.folder().join("occupied");
    fs::write(&file, "").unwrap();
    stack.set("LEDGER_URL", &file.join("ledger").to_string_lossy());
    let outcome = stack.once().ends_with(CANNOT_WRITE_STATE);
    outcome
        .says(&["IMPORT_LOG_ERROR Ledger cannot be used", "occupied/ledger", "Not a directory"])
        .says(&["nothing is lost"]);
    assert_eq!(stack.matomo().hits().len(), 0);
    stack.unset("LEDGER_URL").until_all_is_in(5);
    stack.holds_exactly(SITE, &lines);
}

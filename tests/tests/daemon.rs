//! What each sidecar with a job does with signals and settings, through its real binary: the shared parts are wired in.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};

use rustix::process::Signal;
use tests::acceptance::{As, Life, Subject, script, wait_until};
use tests::console::Console;
use tests::installation::Installation;

const ARCHIVER: &str = env!("CARGO_BIN_EXE_archiver");
const LOG_ANALYTICS: &str = env!("CARGO_BIN_EXE_log-analytics");
const MAINTENANCE: &str = env!("CARGO_BIN_EXE_maintenance");

/// rsync-client runs shell commands, so it goes through the cases of the acceptance list as they are.
fn rsync_client() -> Subject {
    let more = [("SSH_DIR", "@/ssh"), ("RSYNC_SPLIT", "never"), ("RSYNC_RETRIES", "0")];
    Subject {
        binary: env!("CARGO_BIN_EXE_rsync-client").into(),
        command: "RSYNC_COMMANDS",
        cron: "MATOMO_RSYNC_LOGS_CRON",
        state: "ANALYTICS_DIR",
        more: more.map(|(name, value)| (name, value.to_owned())).to_vec(),
    }
}

mod rsync_client {
    tests::core_cases! { crate::rsync_client();
        c_004_an_idle_stop_is_quick_and_well,
        c_006_a_job_may_finish_when_the_policy_says_so,
        c_007_a_job_that_ignores_term_is_killed_at_the_deadline,
        c_008_a_second_term_kills_at_once,
        c_009_int_stops_and_quit_stops_at_once,
        c_013_the_signal_for_the_job_can_be_chosen,
        c_025_a_grandchild_says_farewell,
        c_105_print_config_can_be_fed_back,
        c_106_a_broken_reload_keeps_the_old_settings,
    }
}

#[test]
fn archiver_answers_signals_and_names_what_it_killed() {
    let console = Console::new(ARCHIVER);
    let cron = console.folder().join("cron");
    fs::write(&cron, "0 0 1 1 *").unwrap();
    console.set("MATOMO_ARCHIVE_CRON_FILE", &cron.to_string_lossy()).set("STOP_POLICY", "now");
    let mut running = console.plays("ok").start(&["run"]);
    running.until_it_says("Schedule").signal(Signal::USR2).until_it_says(" Status ");
    running.signal(Signal::USR1).until_it_says("Asked for a run").until_it_says("outcome=ok");
    fs::write(&cron, "not a schedule").unwrap();
    running.signal(Signal::HUP).until_it_says("Settings cannot be used; the old ones stay in force");
    // The health is written a moment after the line.
    wait_until("the health says so", || console.run(&["health"]).output.contains("the old ones are in force"));
    fs::write(&cron, "0 0 2 1 *").unwrap();
    running.signal(Signal::HUP).until_it_says("Settings were read again").signal(Signal::TERM);
    running.wait().ends_with(0);
    console.plays("stubborn").set("STOP_FAREWELL", "1s");
    let mut running = console.start(&["run"]);
    running.until_it_says("Schedule").signal(Signal::USR1).until_it_says("Site archived").signal(Signal::TERM);
    let ended = running.wait();
    let last = ended.ends_with(0).output.lines().last().unwrap_or_default();
    assert!(last.contains("killed=\"core:archive after "), "{last}");
}

/// A maintenance whose dump never ends: it notes INT, and nothing else moves it.
fn dumping(matomo: &Installation, on_int: &str) -> Life {
    let folder = matomo.folder();
    let text = format!(
        "#!/bin/sh\ncase \"$*\" in *--version*) echo fake; exit 0;; esac\ntrap '' TERM\ntrap '{on_int}' INT\ntouch {0}/ready\nwhile :; do sleep 0.05; done\n",
        folder.display()
    );
    fs::create_dir_all(folder.join("bin")).unwrap();
    script(&folder.join("bin/mariadb-dump"), &text, 0o755);
    let _ = fs::remove_file(folder.join("ready"));
    let page = folder.join("page");
    let mut command = matomo.command(&["run"]);
    command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.join("bin").display()));
    let file = File::create(&page).unwrap();
    command.stdout(file.try_clone().unwrap()).stderr(file);
    Life::new(command, As::Process, page)
}

#[test]
fn maintenance_answers_signals_and_names_what_it_killed() {
    let matomo = Installation::new(MAINTENANCE, 1);
    let cron = matomo.folder().join("cron");
    fs::write(&cron, "0 0 1 1 *").unwrap();
    matomo.set("MAINTENANCE_BACKUP_CRON_FILE", &cron.to_string_lossy()).set("RUN_AT_START", "no");
    matomo.set("STOP_SIGNAL_TO_JOB", "INT").set("SHUTDOWN_GRACE", "30s");
    let farewell = matomo.folder().join("farewell");
    let ready = matomo.folder().join("ready");
    let mut life = dumping(&matomo, &format!("echo int > {}; exit 1", farewell.display()));
    life.says("Schedule");
    fs::write(&cron, "not a schedule").unwrap();
    life.signal(Signal::HUP);
    life.says("Settings cannot be used; the old ones stay in force");
    fs::write(&cron, "0 0 2 1 *").unwrap();
    life.signal(Signal::HUP);
    life.says("Settings were read again");
    life.signal(Signal::USR2);
    life.says(" Status ");
    life.signal(Signal::USR1);
    wait_until("the dump is under way", || ready.exists());
    life.stop().is(0).says("signal=INT");
    assert_eq!(fs::read_to_string(&farewell).unwrap(), "int\n");
    // With `finish`, nobody is asked before the grace is nearly over; then it is too late for this one.
    matomo.set("STOP_POLICY", "finish").set("SHUTDOWN_GRACE", "3s");
    let mut life = dumping(&matomo, "");
    life.says("Schedule");
    life.signal(Signal::USR1);
    wait_until("the dump is under way", || ready.exists());
    let end = life.stop().is(0).says("a job may finish first");
    assert!(end.last_line().contains("killed=\"mariadb-dump after "), "{}", end.last_line());
}

#[test]
fn every_sidecar_prints_its_settings_and_no_secret() {
    for (program, more) in [
        (ARCHIVER, ("ARCHIVE_MODE", "http")),
        (MAINTENANCE, ("MAINTENANCE_KEEP", "9")),
        (LOG_ANALYTICS, ("MATOMO_RECORDERS", "2")),
    ] {
        let console = Console::new(program);
        console.set(more.0, more.1).set("MATOMO_URL", "http://matomo").set("MATOMO_TOKEN", "0123456789abcdef");
        let ended = console.run(&["print-config"]);
        let printed = &ended.ends_with(0).output;
        assert!(printed.contains(&format!("{}={}\n", more.0, more.1)), "{printed}");
        assert!(printed.contains("# MATOMO_TOKEN=(hidden)") && !printed.contains("0123456789abcdef"), "{printed}");
    }
}

//! The acceptance list, case by case, against the smallest sidecar that shared parts alone make.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod config;
mod descendants;
mod failure;
mod health;
mod output;
mod signals;
mod state;
mod time;

use tests::acceptance::Subject;

/// The program under test. A sidecar with a job of its own hands another one to `core_cases!`.
fn subject() -> Subject {
    Subject {
        binary: env!("CARGO_BIN_EXE_sidecar").into(),
        command: "JOB_COMMAND",
        cron: "JOB_CRON",
        state: "STATE_DIR",
        more: Vec::new(),
    }
}

tests::core_cases! { crate::subject();
    c_001_exit_codes_are_passed_unchanged,
    c_002_a_killed_job_is_128_and_the_signal,
    c_004_an_idle_stop_is_quick_and_well,
    c_005_a_job_that_hears_term_ends_in_its_own_way,
    c_006_a_job_may_finish_when_the_policy_says_so,
    c_007_a_job_that_ignores_term_is_killed_at_the_deadline,
    c_008_a_second_term_kills_at_once,
    c_009_int_stops_and_quit_stops_at_once,
    c_013_the_signal_for_the_job_can_be_chosen,
    c_023_a_background_child_is_ended_and_counted,
    c_024_a_child_in_a_session_of_its_own_is_ended,
    c_024_the_child_of_a_daemon_that_ended_is_ended,
    c_025_a_grandchild_says_farewell,
    c_026_output_held_open_does_not_hold_up_the_job,
    c_105_print_config_can_be_fed_back,
    c_106_a_broken_reload_keeps_the_old_settings,
}

//! What every sidecar needs and none owns.
//!
//! In the order in which a program meets them: [`entry`] reads the arguments and ends the program,
//! [`config`] reads the settings (a [`secret`] cannot be printed), [`logging`] says what happens,
//! [`shutdown`] knows the wish to stop, [`process`] runs a program as a good parent, [`schedule`] waits for the next
//! run, [`retry`] repeats what may be repeated, `http` (feature) talks to servers, [`files`] replaces and locks
//! files, [`findings`] are what a check of the surroundings says, [`quoting`] splits a text as a shell does, [`veil`] says what of it may be shown, and [`health`] tells whether all of it is still fresh.

pub mod config;
pub mod entry;
pub mod files;
pub mod findings;
pub mod health;
#[cfg(feature = "health-http")]
pub mod health_http;
#[cfg(feature = "http")]
pub mod http;
pub mod job;
pub mod logging;
#[cfg(feature = "notify")]
pub mod notify;
pub mod process;
pub mod quoting;
pub mod retry;
pub mod schedule;
pub mod secret;
pub mod shutdown;
pub mod trouble;
pub mod veil;
pub mod words;

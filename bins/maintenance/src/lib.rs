//! Maintenance mode, backup, verified restore and upgrade guard for Matomo.
//!
//! ```text
//! ini/         Matomo's configuration, edited by section        switch/     thrown, remembered, thrown back
//! place.rs     where Matomo lies, plugins.rs what it should hold  probe.rs   what its containers answer
//! database/    mariadb and mariadb-dump                         set/        a backup and its manifest
//! session.rs   alone on the backup folder, after repairs        history.rs  what was done
//! backup.rs  rehearse.rs  restore/  upgrade.rs                  command/    the sub-commands
//! ```

pub mod backup;
mod command;
pub mod config;
pub mod database;
pub mod history;
pub mod ini;
pub mod place;
pub mod plugins;
pub mod probe;
pub mod rehearse;
pub mod restore;
pub mod session;
pub mod set;
pub mod switch;
pub mod trust;
pub mod upgrade;

pub use command::{Arguments, run};
pub use shared::words::sentence;

//! A mail relay that is right before it starts.

pub mod config;
#[cfg(test)]
mod golden;
pub mod header_privacy;
pub mod mail_log;
pub mod main_cf;
pub mod master_cf;
pub mod password_map;
pub mod plan;
pub mod value;
pub mod waiting;

/// x
pub fn run(_: Args) -> Result<shared::entry::Exit, shared::entry::Failure> {
    Ok(shared::entry::Exit::Done)
}
/// x
#[derive(clap::Parser)]
pub struct Args {}

//! A mail relay that is right before it starts.

pub mod config;
#[cfg(test)]
mod golden;
pub mod header_privacy;
pub mod main_cf;
pub mod master_cf;
pub mod password_map;
pub mod plan;
pub mod value;

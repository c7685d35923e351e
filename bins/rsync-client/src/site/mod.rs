//! The folders of the sites: what lies in them, what changed, and when logs last arrived.

mod arrival;
mod folder;
mod leftover;

pub use arrival::{Arrivals, ArrivalsError, LastPass, SiteArrival};
pub use folder::{Change, Listing, changes};
pub use leftover::remove_leftovers;

//! When to run next: a cron expression and a time zone; never overlaps, catches up once.

mod expression;
mod grammar;
mod slots;
#[cfg(test)]
mod tests;
mod timer;
mod zone;

pub use expression::{Schedule, ScheduleError};
pub use slots::{Due, MISSED_MAX, Slots, Waited, wait_until};
pub use zone::{ZoneError, zone_from};

//! The only place that knows all seven stages: order, back-pressure, shutdown.

mod adhoc;
mod cursor;
mod day;
mod flow;
mod open;
mod pass;
mod recorders;
mod recovery;
mod rota;
mod round;
mod site;
mod takeover;
mod tracker;
mod turn;
mod visit;
mod wanted;

pub use adhoc::{Adhoc, AdhocError, Target};
pub use cursor::{Cursor, Ended, Ending, Opened, Sites, Step};
pub use day::Days;
pub use flow::{Delivered, Flow, Shape, Stop};
pub use open::{Glance, OpenError, Reading};
pub use pass::{Pass, PassReport};
pub use recovery::settle_doubts;
pub use site::{Recognised, SiteImport, SiteReport, now, recognise};
pub use turn::Turn;
pub use wanted::Wanted;

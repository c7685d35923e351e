//! The only place that knows all stages: order, back-pressure, shutdown.

mod connections;
mod day;
mod fair_queue;
mod import;
mod merge;
mod open;
mod pass;
mod pending_lines;
mod progress;
mod reader;
mod recognise;
mod recovery;
mod sender;
mod session;
mod site;
mod takeover;
mod time_slice;

pub use day::Days;
pub use import::{Import, ImportError, Target};
pub use open::{Glance, OpenError, Reading};
pub use pass::{Pass, PassReport, ledger_site_refusal};
pub use pending_lines::PendingLines;
pub use reader::{Ended, Ending, Opened, Reader, Sites, Step};
pub use recognise::{Recognise, Recognised};
pub use recovery::{bring_up_to_date, settle_doubts};
pub use sender::{Delivered, Proofs, Sender, Shape, Stop, Unproven};
pub use site::{SiteImport, SiteReport, now_ms};
pub use time_slice::TimeSlice;

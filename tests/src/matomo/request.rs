//! What one request was and how it ended, for journeys that ask.

use crate::fault::Fault;

/// A request that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Number among the tracking requests, from 1; 0 for calls of the API.
    pub number: u64,
    /// Path and query as sent.
    pub path: String,
    /// Entries of the bulk list, probes, marks and nulls included.
    pub entries: usize,
    /// Size of the body.
    pub bytes: usize,
    /// How it ended.
    pub outcome: Outcome,
    /// Which connection it came by, from 1.
    pub connection: u64,
    /// Its place among the requests of that connection, from 1: above 1, the connection was used again.
    pub on_connection: u64,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Judged as Matomo does: some tracked, some invalid.
    Tracked {
        /// Counted as tracked.
        tracked: usize,
        /// Counted as invalid.
        invalid: usize,
    },
    /// A deadlock took some hits, Matomo stored the others one by one, counted all of them, and answered 500.
    Deadlock {
        /// Counted as tracked.
        tracked: usize,
    },
    /// A deadlock took all hits; so many had been counted.
    RolledBack {
        /// Counted as tracked.
        tracked: usize,
    },
    /// Only asked whether hits are welcome.
    Probe,
    /// A planned fault.
    Fault(Fault),
    /// The body is nothing that PHP's JSON reader accepts.
    Unreadable,
    /// Recording is switched off.
    RecordingOff,
    /// The database is down.
    DatabaseDown,
    /// No hit in it, or a single one that is invalid.
    Refused,
    /// The client went away before its body was complete.
    Cut,
    /// A call of the Reporting API, by method.
    Api(String),
}

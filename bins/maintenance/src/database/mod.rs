//! Matomo's database, spoken to by MariaDB's own programs: `mariadb` and `mariadb-dump`.

mod client;
mod connection;
mod scan;
mod schema;
mod tls;

pub use client::{Account, Database, DatabaseError, program};
pub use connection::{Connection, OptionFile};
pub use scan::{DumpFault, DumpScan, Tables};
pub use schema::{Swap, quoted};
pub use tls::{Asked, Tls, TlsMode, Unreadable};

//! Matomo's database, spoken to by MariaDB's own programs: `mariadb` and `mariadb-dump`.

mod activity;
mod client;
mod connection;
mod fence;
mod lexer;
mod lodger;
mod scan;
mod schema;
mod tls;

pub use client::{Account, Database, DatabaseError, SECRETS, program};
pub use connection::{Connection, OptionFile};
pub use fence::{Fence, Leaving};
pub use scan::{DumpFault, DumpScan, Numbers, Scanned, Tables};
pub use schema::{Swap, quoted};
pub use tls::{Asked, Tls, TlsMode, Unreadable};

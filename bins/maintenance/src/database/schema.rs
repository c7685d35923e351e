//! Databases and their tables: listed, counted, created, dropped, and put in each other's place.

use std::collections::BTreeSet;

use super::client::{Database, DatabaseError};
use super::scan::Tables;

/// A name between backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text between quotes.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// Puts the tables of one database in the place of those of another, which go into a third.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Where the new tables are.
    pub from: String,
    /// Where they belong.
    pub live: String,
    /// Where the old ones go.
    pub before: String,
}

impl Swap {
    /// One statement for what is left to do, or none. It can be asked for again after a crash: a live table is old as
    /// long as its successor waits, and new when that is gone.
    pub fn statement(
        &self,
        new: &BTreeSet<String>,
        waiting: &BTreeSet<String>,
        live: &BTreeSet<String>,
    ) -> Option<String> {
        let path = |database: &str, table: &str| format!("{}.{}", quoted(database), quoted(table));
        let old = live.iter().filter(|table| waiting.contains(*table) || !new.contains(*table));
        let mut moves: Vec<String> =
            old.map(|table| format!("{} TO {}", path(&self.live, table), path(&self.before, table))).collect();
        moves.extend(waiting.iter().map(|table| format!("{} TO {}", path(&self.from, table), path(&self.live, table))));
        (!moves.is_empty()).then(|| format!("SET SESSION foreign_key_checks=0;\nRENAME TABLE {};\n", moves.join(", ")))
    }
}

impl Database<'_> {
    /// The server's version.
    pub async fn version(&self) -> Result<String, DatabaseError> {
        self.cell("ask the database for its version", "SELECT VERSION()").await.map(Option::unwrap_or_default)
    }

    /// The first cell of an answer.
    pub async fn cell(&self, action: &str, statement: &str) -> Result<Option<String>, DatabaseError> {
        Ok(self.ask(action, statement).await?.into_iter().next().and_then(|row| row.into_iter().next()))
    }

    /// Names of the tables of a database; views are not among them.
    pub async fn tables(&self, database: &str) -> Result<BTreeSet<String>, DatabaseError> {
        let statement = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type = 'BASE TABLE'",
            literal(database)
        );
        let rows = self.ask(&format!("list the tables of {database}"), &statement).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// Tables whose engine knows no transactions: a dump does not see them as of one moment.
    pub async fn tables_without_transactions(&self, database: &str) -> Result<Vec<String>, DatabaseError> {
        let statement = format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = {} AND table_type = 'BASE TABLE' AND engine <> 'InnoDB'",
            literal(database)
        );
        let rows = self.ask(&format!("list the engines of {database}"), &statement).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// What a move of tables would leave behind: views, triggers, routines, events. Matomo has none.
    pub async fn things_besides_tables(&self, database: &str) -> Result<u64, DatabaseError> {
        let name = literal(database);
        let statement = format!(
            "SELECT (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema={name} AND table_type <> 'BASE TABLE') \
             + (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema={name}) \
             + (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema={name}) \
             + (SELECT COUNT(*) FROM information_schema.events WHERE event_schema={name})"
        );
        let count = self.cell(&format!("look for views and triggers in {database}"), &statement).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(0))
    }

    /// Rows of each of these tables, counted one by one.
    pub async fn count(&self, database: &str, tables: impl Iterator<Item = &String>) -> Result<Tables, DatabaseError> {
        let statements: String = tables
            .map(|table| format!("SELECT {}, COUNT(*) FROM {}.{};\n", literal(table), quoted(database), quoted(table)))
            .collect();
        let rows = self.ask(&format!("count the rows of {database}"), &statements).await?;
        let counted = rows.into_iter().filter_map(|row| match row.as_slice() {
            [table, count] => Some((table.clone(), count.parse().ok()?)),
            _ => None,
        });
        Ok(counted.collect())
    }

    /// Bytes of data and indexes, as the server estimates them.
    pub async fn bytes(&self, database: &str) -> Result<u64, DatabaseError> {
        let statement = format!(
            "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables WHERE table_schema = {}",
            literal(database)
        );
        let cell = self.cell(&format!("ask for the size of {database}"), &statement).await?;
        Ok(cell.and_then(|bytes| bytes.parse().ok()).unwrap_or(0))
    }

    /// Matomo's version, as its database has it.
    pub async fn matomo_version(&self, database: &str, prefix: &str) -> Result<Option<String>, DatabaseError> {
        let table = format!("{}.{}", quoted(database), quoted(&format!("{prefix}option")));
        let statement = format!("SELECT option_value FROM {table} WHERE option_name = 'version_core'");
        self.cell("ask the database for Matomo's version", &statement).await
    }

    /// An empty database, whatever was there.
    pub async fn create_empty(&self, database: &str) -> Result<(), DatabaseError> {
        let name = quoted(database);
        let statements = format!("DROP DATABASE IF EXISTS {name};\nCREATE DATABASE {name} CHARACTER SET utf8mb4;\n");
        self.ask(&format!("create the database {database}"), &statements).await.map(drop)
    }

    /// Drops a database, after a wish to stop too.
    pub async fn drop_database(&self, database: &str) -> Result<(), DatabaseError> {
        let statement = format!("DROP DATABASE IF EXISTS {};\n", quoted(database));
        self.tidy_up(&format!("drop the database {database}"), &statement).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_swap_can_go_on_where_it_stopped() {
        let swap = Swap { from: "r".to_owned(), live: "m".to_owned(), before: "b".to_owned() };
        let new = set(&["a", "c"]);
        let whole = swap.statement(&new, &set(&["a", "c"]), &set(&["a", "old"])).unwrap();
        assert!(
            whole.ends_with(
                "RENAME TABLE `m`.`a` TO `b`.`a`, `m`.`old` TO `b`.`old`, `r`.`a` TO `m`.`a`, `r`.`c` TO `m`.`c`;\n"
            ),
            "{whole}"
        );
        let rest = swap.statement(&new, &set(&["c"]), &set(&["a"])).unwrap();
        assert!(rest.ends_with("RENAME TABLE `r`.`c` TO `m`.`c`;\n"), "{rest}");
        assert_eq!(swap.statement(&new, &set(&[]), &set(&["a", "c"])), None);
    }
}

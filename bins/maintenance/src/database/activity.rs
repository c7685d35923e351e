//! What goes on in a database: who works in it right now, and whether it still is what a copy says.

use super::client::{Database, DatabaseError};
use super::scan::{Numbers, Tables};
use super::schema::{literal, quoted};

impl Database<'_> {
    /// Connections of others that work in this database: those with a transaction or a statement under way, or, where we
    /// may not know, all that this user has.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn others(&self, database: &str) -> Result<Vec<u64>, DatabaseError> {
        let all = format!(
            "SELECT id FROM information_schema.processlist WHERE db = {} AND id <> CONNECTION_ID()",
            literal(database)
        );
        let busy = format!(
            "{all} AND (command <> 'Sleep' OR id IN (SELECT trx_mysql_thread_id FROM information_schema.innodb_trx))"
        );
        let action = format!("ask who works in {database}");
        let rows = match self.ask(&action, &busy).await {
            Err(error) if error.is_refusal() => self.ask(&action, &all).await,
            other => other,
        };
        Ok(rows?.iter().filter_map(|row| row.first()?.parse().ok()).collect())
    }

    /// The server's own time, in seconds since 1970, and since when it is up.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn now_and_start(&self) -> Result<(i64, i64), DatabaseError> {
        let action = "ask the server for its time";
        let now = self.cell(action, "SELECT UNIX_TIMESTAMP()").await?;
        let number = |text: Option<String>| text.and_then(|text| text.parse().ok()).unwrap_or(0);
        let now: i64 = number(now);
        let rows = self.ask(action, "SHOW GLOBAL STATUS LIKE 'Uptime'").await?;
        let uptime: i64 = number(rows.into_iter().next().and_then(|row| row.into_iter().nth(1)));
        Ok((now, now - uptime))
    }

    /// The first thing in which a database is not what a copy of that moment says; nothing where rows, highest numbers
    /// and the times of the last change agree.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn differs(
        &self,
        database: &str,
        (tables, highest): (&Tables, &Numbers),
        at: i64,
    ) -> Result<Option<String>, DatabaseError> {
        let names = self.tables(database).await?;
        if let Some(table) = names.iter().find(|table| !tables.contains_key(*table)) {
            return Ok(Some(format!("the table {table} is new")));
        }
        if let Some((table, time)) = self.changed_since(database, at).await? {
            return Ok(Some(format!("the table {table} was changed at {time}")));
        }
        let found = self.count(database, names.iter()).await?;
        let other = tables.iter().find(|(table, rows)| found.get(*table) != Some(rows));
        if let Some((table, rows)) = other {
            let there = found.get(table).map_or("none".to_owned(), u64::to_string);
            return Ok(Some(format!("the table {table} has {there} rows, the set {rows}")));
        }
        let now = self.highest(database, highest).await?;
        let other = highest.iter().find(|(table, number)| now.get(*table) != Some(number));
        Ok(other.map(|(table, number)| {
            let there = now.get(table).map_or("none".to_owned(), u64::to_string);
            format!("the highest number in the table {table} is {there}, in the set {number}")
        }))
    }

    /// A table that was changed at this time or later, as far as the server remembers.
    async fn changed_since(&self, database: &str, at: i64) -> Result<Option<(String, String)>, DatabaseError> {
        let statement = format!(
            "SELECT table_name, update_time FROM information_schema.tables \
             WHERE table_schema = {} AND UNIX_TIMESTAMP(update_time) >= {at} LIMIT 1",
            literal(database)
        );
        let rows = self.ask(&format!("ask when {database} was changed"), &statement).await?;
        let first = rows.into_iter().next().map(Vec::into_iter);
        Ok(first.and_then(|mut row| Some((row.next()?, row.next()?))))
    }

    /// The highest number in the first column of these tables.
    async fn highest(&self, database: &str, tables: &Numbers) -> Result<Numbers, DatabaseError> {
        let action = format!("ask for the highest numbers in {database}");
        let columns = format!(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = {} AND ordinal_position = 1",
            literal(database)
        );
        let columns = self.ask(&action, &columns).await?;
        let statements: String = columns
            .iter()
            .filter_map(|row| Some((row.first()?, row.get(1)?)))
            .filter(|(table, _)| tables.contains_key(*table))
            .map(|(table, column)| {
                let (column, path) = (quoted(column), format!("{}.{}", quoted(database), quoted(table)));
                format!("SELECT {}, MAX({column}) FROM {path};\n", literal(table))
            })
            .collect();
        let rows = self.ask(&action, &statements).await?;
        let number = |row: &Vec<String>| Some((row.first()?.clone(), row.get(1)?.parse().ok()?));
        Ok(rows.iter().filter_map(number).collect())
    }
}

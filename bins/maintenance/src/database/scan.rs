//! Reads along while a dump passes: which tables it holds, how many rows of each, and whether it came to its end.
//! The counts are of what is in the dump, so writes that go on meanwhile do not blur them.

use std::collections::BTreeMap;

/// Rows per table.
pub type Tables = BTreeMap<String, u64>;

/// The highest number in the first column of each table, where that holds whole numbers: in Matomo's tables it is the one
/// by which rows are counted up.
pub type Numbers = BTreeMap<String, u64>;

/// What a whole dump holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scanned {
    /// Its tables and their rows.
    pub tables: Tables,
    /// The highest numbers in them.
    pub highest: Numbers,
}

/// The beginning of a row that matters: a bracket, a number, and the comma behind it.
const ROW_BYTES: usize = 22;
/// Longest beginning of a line that matters: a statement and the name of a table.
const HEAD_BYTES: usize = 320;

/// What is wrong with a dump as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DumpFault {
    /// It stopped before its last line.
    #[error("the dump does not end with its own last line `-- Dump completed`, so it was cut off")]
    CutOff,
    /// It holds nothing.
    #[error("the dump holds no table")]
    Empty,
}

/// Where in a statement the scan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Between statements.
    Nothing,
    /// Behind `INSERT INTO … VALUES`: each further line is a row.
    Rows,
    /// In a line that holds rows itself, as older programs write them.
    Line(Tuple),
}

/// Where in a list of rows on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tuple {
    depth: u32,
    quoted: bool,
    escaped: bool,
}

/// Reads along with a dump.
#[derive(Debug)]
pub struct DumpScan {
    scanned: Scanned,
    table: String,
    rows: u64,
    highest: Option<u64>,
    within: Within,
    head: Vec<u8>,
    last: u8,
    complete: bool,
}

impl Default for DumpScan {
    fn default() -> Self {
        Self {
            scanned: Scanned::default(),
            table: String::new(),
            rows: 0,
            highest: None,
            within: Within::Nothing,
            head: Vec::with_capacity(HEAD_BYTES),
            last: b'\n',
            complete: false,
        }
    }
}

impl DumpScan {
    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.part(&bytes[begin..end]);
            self.end_line();
            begin = end + 1;
        }
        self.part(&bytes[begin..]);
    }

    /// What the dump holds, when it is whole.
    ///
    /// # Errors
    /// When it is not.
    pub fn finish(mut self) -> Result<Scanned, DumpFault> {
        if !self.head.is_empty() {
            self.end_line();
        }
        self.end_table();
        match (self.complete, self.scanned.tables.is_empty()) {
            (false, _) => Err(DumpFault::CutOff),
            (true, true) => Err(DumpFault::Empty),
            (true, false) => Ok(self.scanned),
        }
    }

    fn part(&mut self, bytes: &[u8]) {
        let Some(last) = bytes.last() else { return };
        self.last = *last;
        if let Within::Line(tuple) = &mut self.within {
            self.rows += tuple.count(bytes);
            return;
        }
        let wanted = if self.within == Within::Rows { ROW_BYTES } else { HEAD_BYTES };
        let room = wanted.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        if self.within == Within::Nothing && self.head.starts_with(b"INSERT INTO `") && self.head.len() >= 13 {
            self.begin_rows_on_line(bytes, room);
        }
    }

    /// `INSERT INTO `t` VALUES (1),(2);` on one line: the rest of the line is counted letter by letter.
    fn begin_rows_on_line(&mut self, bytes: &[u8], room: usize) {
        let Some(values) = memchr::memmem::find(&self.head, b"` VALUES (") else { return };
        self.end_table();
        self.table = unquoted(&self.head[13..values]);
        let mut tuple = Tuple::default();
        self.rows += tuple.count(&self.head[values + 9..]) + tuple.count(&bytes[room..]);
        self.within = Within::Line(tuple);
    }

    fn end_line(&mut self) {
        let head = std::mem::take(&mut self.head);
        match self.within {
            Within::Rows => {
                if head.first() == Some(&b'(') {
                    self.rows += 1;
                    self.highest = self.highest.max(first_number(&head[1..]));
                }
                if self.last == b';' || head.is_empty() {
                    self.within = Within::Nothing;
                }
            }
            Within::Line(_) => self.within = Within::Nothing,
            Within::Nothing => self.statement(&head),
        }
        self.head = head;
        self.head.clear();
        self.last = b'\n';
    }

    fn statement(&mut self, head: &[u8]) {
        if !head.is_empty() {
            self.complete = head.starts_with(b"-- Dump completed");
        }
        if let Some(rest) = head.strip_prefix(b"CREATE TABLE `") {
            if let Some(end) = memchr::memmem::find(rest, b"` (") {
                self.scanned.tables.entry(unquoted(&rest[..end])).or_default();
            }
        } else if let Some(rest) = head.strip_prefix(b"INSERT INTO `")
            && let Some(name) = rest.strip_suffix(b"` VALUES")
        {
            self.end_table();
            self.table = unquoted(name);
            self.within = Within::Rows;
        }
    }

    fn end_table(&mut self) {
        if self.rows > 0 {
            let table = std::mem::take(&mut self.table);
            if let Some(highest) = self.highest.take() {
                let known = self.scanned.highest.entry(table.clone()).or_default();
                *known = highest.max(*known);
            }
            *self.scanned.tables.entry(table).or_default() += self.rows;
            self.rows = 0;
        }
    }
}

impl Tuple {
    /// How many rows end in these bytes.
    fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut rows = 0;
        for byte in bytes {
            if self.escaped {
                self.escaped = false;
            } else if self.quoted {
                match byte {
                    b'\\' => self.escaped = true,
                    b'\'' => self.quoted = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'\'' => self.quoted = true,
                    b'(' => self.depth += 1,
                    b')' => {
                        self.depth = self.depth.saturating_sub(1);
                        rows += u64::from(self.depth == 0);
                    }
                    _ => {}
                }
            }
        }
        rows
    }
}

/// A whole number that is all of the first column.
fn first_number(row: &[u8]) -> Option<u64> {
    let end = row.iter().position(|byte| !byte.is_ascii_digit())?;
    matches!(row[end], b',' | b')').then(|| std::str::from_utf8(&row[..end]).ok()?.parse().ok())?
}

fn unquoted(name: &[u8]) -> String {
    String::from_utf8_lossy(name).replace("``", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\nCREATE TABLE `a` (\n  `x` int,\n);\nINSERT INTO `a` VALUES\n(1,'x(1),(2);'),\n(2,'INSERT INTO `b` VALUES'),\n(3,';');\nINSERT INTO `a` VALUES\n(4,'');\nCREATE TABLE `e``1` (\n);\n-- Dump completed on 2026-01-01  0:00:00\n";
    const OLD: &str = "CREATE TABLE `a` (\n);\nINSERT INTO `a` VALUES (1,'x\\'(1),(2);'),(2,NULL),(3,';');\nINSERT INTO `a` VALUES (4,_binary '');\nCREATE TABLE `e``1` (\n);\n-- Dump completed\n";

    fn scanned(text: &str, piece: usize) -> Result<Scanned, DumpFault> {
        let mut scan = DumpScan::default();
        text.as_bytes().chunks(piece).for_each(|bytes| scan.feed(bytes));
        scan.finish()
    }

    #[test]
    fn rows_are_counted_however_the_dump_is_cut_into_pieces() {
        let expected = Tables::from([("a".to_owned(), 4), ("e`1".to_owned(), 0)]);
        for piece in [1, 2, 7, 16, 1000] {
            let new = scanned(NEW, piece).unwrap();
            assert_eq!(new.tables, expected, "pieces of {piece}");
            assert_eq!(new.highest, Numbers::from([("a".to_owned(), 4)]), "pieces of {piece}");
            assert_eq!(scanned(OLD, piece).unwrap().tables, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn only_a_whole_number_is_the_number_of_a_row() {
        for (row, number) in [
            ("12,'x'),", Some(12)),
            ("7);", Some(7)),
            ("18446744073709551615,", Some(u64::MAX)),
            ("1.5,", None),
            ("-1,", None),
            ("'1',", None),
            ("NULL,", None),
            ("0x12,", None),
            ("123", None),
        ] {
            assert_eq!(first_number(row.as_bytes()), number, "{row}");
        }
    }

    #[test]
    fn c_147_a_dump_that_is_cut_anywhere_is_not_whole() {
        let last = NEW.find("-- Dump completed").unwrap();
        for end in 0..last + 16 {
            assert_eq!(scanned(&NEW[..end], 64), Err(DumpFault::CutOff), "cut at {end}");
        }
        assert_eq!(scanned(&format!("{NEW}INSERT INTO"), 64), Err(DumpFault::CutOff), "something follows the end");
        assert_eq!(scanned("-- Dump completed\n", 64), Err(DumpFault::Empty));
    }
}

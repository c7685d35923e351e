//! An append-only file of records, each with a checksum; a line torn by a crash is cut off when it is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::LedgerError;
use super::record::Record;

const CHECKSUM_DIGITS: usize = 8;

/// The open journal of one site.
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes known to be whole records.
    good_bytes: u64,
    unsynced: bool,
}

impl Journal {
    /// Opens or creates the journal, and reads back what it says.
    ///
    /// # Errors
    /// When it cannot be read or written, or is damaged anywhere but in its last line.
    pub fn open(path: &Path) -> Result<(Self, Vec<Record>), LedgerError> {
        let failed = |error| LedgerError::write(path, error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let (records, good_bytes) = read(path, &mut file)?;
        if good_bytes < file.metadata().map_err(failed)?.len() {
            file.set_len(good_bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        Ok((Self { path: path.to_owned(), file, good_bytes, unsynced: false }, records))
    }

    /// Reads a journal that another process may be writing; a torn last line is left alone.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. A journal that does not exist is empty.
    pub fn peek(path: &Path) -> Result<Vec<Record>, LedgerError> {
        match File::open(path) {
            Ok(mut file) => Ok(read(path, &mut file)?.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(LedgerError::read(path, error)),
        }
    }

    /// Appends a record; it is durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// When it cannot be written; the journal then ends where it ended before.
    pub fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        let line = line_of(record).map_err(|error| LedgerError::write(&self.path, error))?;
        if let Err(error) = self.file.write_all(&line) {
            // Half a line would make the next record unreadable.
            let _ = self.file.set_len(self.good_bytes);
            return Err(LedgerError::write(&self.path, error));
        }
        self.good_bytes += line.len() as u64;
        self.unsynced = true;
        Ok(())
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        if self.unsynced {
            self.file.sync_data().map_err(|error| LedgerError::write(&self.path, error))?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.good_bytes
    }

    /// Replaces the whole journal by `records`: the old one or the new one survives a crash, never a mixture.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one then stays.
    pub fn rewrite(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::write(&self.path, error);
        let mut text = Vec::new();
        for record in records {
            text.extend(line_of(record).map_err(failed)?);
        }
        shared::files::replace(&self.path, &text).map_err(|error| failed(io::Error::other(error)))?;
        self.file = OpenOptions::new().read(true).append(true).open(&self.path).map_err(failed)?;
        self.good_bytes = text.len() as u64;
        self.unsynced = false;
        Ok(())
    }
}

fn line_of(record: &Record) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", checksum(json.as_bytes())).into_bytes())
}

fn checksum(json: &[u8]) -> u32 {
    xxh3_64(json) as u32
}

fn read(path: &Path, file: &mut File) -> Result<(Vec<Record>, u64), LedgerError> {
    file.seek(SeekFrom::Start(0)).map_err(|error| LedgerError::read(path, error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut records, mut good_bytes, mut line) = (Vec::new(), 0, Vec::new());
    let mut damaged = None;
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).map_err(|error| LedgerError::read(path, error))?;
        if count == 0 {
            return Ok((records, good_bytes));
        }
        if let Some(offset) = damaged {
            return Err(LedgerError::Damaged { path: path.to_owned(), offset });
        }
        match parse(&line) {
            Some(record) => {
                records.push(record);
                good_bytes += count as u64;
            }
            // Only a last line may be torn; if another follows, the journal is damaged.
            None => damaged = Some(good_bytes),
        }
    }
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = (line.get(..CHECKSUM_DIGITS)?, line.get(CHECKSUM_DIGITS + 1..)?);
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == checksum(json)).then(|| serde_json::from_slice(json).ok())?
}

#[cfg(test)]
mod tests {
    use super::super::record::{FileId, IntentId, VERSION};
    use super::*;
    use crate::discover::SiteId;

    fn some_records() -> Vec<Record> {
        vec![
            Record::Opened { version: VERSION, site: SiteId(4) },
            Record::Checkpoint { file: FileId(1), offset: 300 },
            Record::Undone { intent: IntentId(7), why: "Matomo's answer: «no»\n".into() },
        ]
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        for record in some_records() {
            journal.append(&record).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut journal, records) = Journal::open(&path).unwrap();
            assert_eq!(records, some_records()[..records.len()]);
            journal.append(&Record::Slowest { ms: 1 }).unwrap();
            let (_, again) = Journal::open(&path).unwrap();
            assert_eq!(again.len(), records.len() + 1, "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_last_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let (mut journal, _) = Journal::open(&path).unwrap();
        journal.rewrite(&some_records()).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[12] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Journal::open(&path), Err(LedgerError::Damaged { offset: 0, .. })));
    }
}

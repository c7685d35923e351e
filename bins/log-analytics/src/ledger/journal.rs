//! An append-only file of records, each with a checksum over it and all before it; a line torn by a crash is cut off when it is
//! opened.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use shared::files::{self, MODE_DEFAULT};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::LedgerError;
use super::record::{Record, VERSION};

const CHECKSUM_DIGITS: usize = 8;
/// So much is gathered at most, or a takeover of many files would be held in memory as a whole.
const GATHERED_BYTES_MAX: usize = 64 * 1024;
/// A power cut may leave NUL bytes at the end, and version 1 made room there: so much of it was ever unsynced.
const TORN_BYTES_MAX: u64 = 2 << 20;
const NUL: u8 = 0;

/// Takes records one by one, so that a long journal is never held as a whole.
pub type Telling<'t> = dyn FnMut(Record) -> io::Result<()> + 't;

/// The open journal of one site. Records are gathered, and written and synced together: each call of the system costs as
/// much as reading a good many lines of a log.
pub struct Journal {
    path: PathBuf,
    file: Arc<File>,
    /// Where the next record goes.
    end: u64,
    sums: Sums,
    /// Records that are not in the file yet.
    gathered: Vec<u8>,
    /// Records since the journal was opened.
    appended: u64,
    /// How many of them somebody waits for.
    awaited: u64,
    syncer: Syncer,
}

/// Syncs on a thread of its own, one request at a time.
struct Syncer {
    /// To that thread, once there was a request.
    requests: Option<mpsc::Sender<Request>>,
    synced: Arc<Synced>,
}

/// A file to sync, and how many records are in it.
type Request = (Arc<File>, u64);

/// How many records survive a power cut. None can be relied on once the disk has refused, and why: it may agree the
/// next time without having written anything.
struct Synced(watch::Sender<Result<u64, String>>);

/// The checksums of a journal. Since version 2 each is made with the one before it, so that no line can be missing or stand
/// twice without being noticed.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    last: Option<u32>,
}

impl Sums {
    fn next(self, json: &[u8]) -> u32 {
        xxh3_64_with_seed(json, self.last.map_or(0, u64::from)) as u32
    }

    /// A record was written or read with this sum.
    fn pass(&mut self, record: &Record, sum: u32) {
        match record {
            Record::Opened { version, .. } if *version > 1 => self.last = Some(sum),
            _ => self.last = self.last.map(|_| sum),
        }
    }
}

impl Journal {
    /// Opens or creates the journal and locks it; `take` is told what it says, record by record. `None` while another process
    /// has it open, whatever became of its lock file.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged anywhere but in its last line, or of a newer version.
    pub fn open(path: &Path, take: impl FnMut(Record)) -> Result<Option<Self>, LedgerError> {
        let failed = |error| LedgerError::write(path, error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        if !lock(&file).map_err(failed)? {
            return Ok(None);
        }
        let (end, sums) = read(path, &mut file, take)?;
        if end < file.metadata().map_err(failed)?.len() {
            file.set_len(end).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        let synced = Arc::new(Synced(watch::Sender::new(Ok(0))));
        Ok(Some(Self {
            path: path.to_owned(),
            file: Arc::new(file),
            end,
            sums,
            gathered: Vec::new(),
            appended: 0,
            awaited: 0,
            syncer: Syncer { requests: None, synced },
        }))
    }

    /// Tells what a journal says that another process may be writing; a torn last line is left alone.
    ///
    /// # Errors
    /// When it cannot be read, is damaged or of a newer version. A journal that does not exist is empty.
    pub fn peek(path: &Path, take: impl FnMut(Record)) -> Result<(), LedgerError> {
        match File::open(path) {
            Ok(mut file) => read(path, &mut file, take).map(|_| ()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(LedgerError::read(path, error)),
        }
    }

    /// Appends a record. It is in the file after the next [`Journal::flush`], and durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// When it cannot be written, as far as that is tried now; see [`Journal::sync`].
    pub fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        put_line(&mut self.gathered, record, &mut self.sums).map_err(|error| LedgerError::write(&self.path, error))?;
        self.appended += 1;
        if self.gathered.len() < GATHERED_BYTES_MAX { Ok(()) } else { self.write_out() }
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// When it cannot be written, the disk refuses, or did so before.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.write_out()?;
        self.awaited = 0;
        let synced = &self.syncer.synced;
        if synced.0.borrow().as_ref() != Ok(&self.appended) {
            synced.note(self.file.sync_data(), self.appended);
        }
        synced.0.borrow().as_ref().map(|_| ()).map_err(|why| refused(&self.path, why))
    }

    /// Waits until everything appended before the call is durable. That takes a [`Journal::flush`] after it.
    ///
    /// # Errors
    /// When the disk refuses, or did so before.
    pub fn synced(&mut self) -> impl Future<Output = Result<(), LedgerError>> + use<> {
        self.awaited = self.appended;
        let (path, awaited, mut synced) = (self.path.clone(), self.awaited, self.syncer.synced.0.subscribe());
        async move {
            let answer = synced.wait_for(|synced| synced.as_ref().map_or(true, |records| *records >= awaited)).await;
            match answer.as_deref() {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(why)) => Err(refused(&path, why)),
                Err(_) => Err(refused(&path, "the journal was closed")),
            }
        }
    }

    /// Puts everything appended so far into the file and, if somebody waits for that, has it synced, without keeping this
    /// thread from its work.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.write_out()?;
        if std::mem::take(&mut self.awaited) > 0 {
            self.syncer.ask(Arc::clone(&self.file), self.appended);
        }
        Ok(())
    }

    /// What cannot be written is not synced either.
    fn write_out(&mut self) -> Result<(), LedgerError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.still_there()?;
        if let Err(error) = self.file.write_all_at(&self.gathered, self.end) {
            // Half a line would make the next record unreadable. Where that fails, whoever opens the file next does it.
            let _ = self.file.set_len(self.end);
            let refusal = refused(&self.path, &error.to_string());
            self.syncer.synced.note(Err(error), 0);
            return Err(refusal);
        }
        self.end += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Whether the file at the path is still the one that is open: somebody may have restored the folder from a backup
    /// meanwhile, and another process may be writing there.
    fn still_there(&self) -> Result<(), LedgerError> {
        let inode = |about: &std::fs::Metadata| (about.dev(), about.ino());
        let held = self.file.metadata().map_err(|error| LedgerError::write(&self.path, error))?;
        match std::fs::metadata(&self.path) {
            Ok(there) if inode(&there) == inode(&held) => Ok(()),
            Ok(_) => Err(LedgerError::Replaced { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(LedgerError::Replaced { path: self.path.clone() })
            }
            Err(error) => Err(LedgerError::write(&self.path, error)),
        }
    }

    /// From now on the disk refuses to keep anything, as a device does that is no disk.
    #[cfg(test)]
    pub fn break_disk(&mut self) {
        drop(self.break_by("/dev/null"));
    }

    #[cfg(test)]
    fn break_by(&mut self, device: &str) -> Arc<File> {
        // The device takes the path of the journal, which is still to be the file that is open.
        let device = OpenOptions::new().write(true).open(device).unwrap();
        self.path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&device)).into();
        std::mem::replace(&mut self.file, Arc::new(device))
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.end + self.gathered.len() as u64
    }

    /// Replaces the whole journal by what `tell` tells, record by record: the old one or the new one survives a crash, never a mixture.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one then stays.
    pub fn rewrite(&mut self, tell: impl FnOnce(&mut Telling<'_>) -> io::Result<()>) -> Result<(), LedgerError> {
        self.still_there()?;
        let failed = |error| LedgerError::write(&self.path, error);
        let mut sums = Sums::default();
        let write = |file: &mut BufWriter<File>| {
            let mut line = Vec::new();
            tell(&mut |record| {
                line.clear();
                put_line(&mut line, &record, &mut sums)?;
                file.write_all(&line)
            })
        };
        files::replace_by(&self.path, MODE_DEFAULT, write).map_err(|error| failed(io::Error::other(error)))?;
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        if !lock(&file).map_err(failed)? {
            return Err(LedgerError::Replaced { path: self.path.clone() });
        }
        self.end = file.metadata().map_err(failed)?.len();
        self.gathered.clear();
        (self.file, self.sums) = (Arc::new(file), sums);
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever needed it on disk has synced it; the rest saves questions at the next start.
        let _ = self.write_out();
        // The thread that syncs may hold the file a moment longer; whoever takes the lease next must not wait for it.
        let _ = self.file.unlock();
    }
}

/// Answers whether nobody else has it.
fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

impl Syncer {
    /// Has a file synced, in which are so many records, on a thread of its own.
    fn ask(&mut self, file: Arc<File>, records: u64) {
        let requests = match &self.requests {
            Some(requests) => requests,
            None => match Self::begin(Arc::clone(&self.synced)) {
                Ok(requests) => self.requests.insert(requests),
                Err(error) => return self.synced.note(Err(error), 0),
            },
        };
        if requests.send((file, records)).is_err() {
            self.synced.note(Err(io::Error::other("the thread that syncs has ended")), 0);
        }
    }

    /// The thread ends with the journal.
    fn begin(synced: Arc<Synced>) -> io::Result<mpsc::Sender<Request>> {
        let (requests, asked) = mpsc::channel::<Request>();
        thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            while let Ok(first) = asked.recv() {
                // What was asked for meanwhile is synced with the last of it, as it is one file.
                let (file, records) = asked.try_iter().last().unwrap_or(first);
                synced.note(file.sync_data(), records);
            }
        })?;
        Ok(requests)
    }
}

impl Synced {
    /// The disk answered.
    fn note(&self, answer: io::Result<()>, records: u64) {
        self.0.send_modify(|synced| match (synced, answer) {
            (Ok(before), Ok(())) => *before = records.max(*before),
            (synced @ Ok(_), Err(error)) => *synced = Err(error.to_string()),
            (Err(_), _) => {}
        });
    }
}

fn refused(path: &Path, why: &str) -> LedgerError {
    LedgerError::write(path, io::Error::other(format!("the disk refused to keep what was written: {why}")))
}

/// Appends a record's line, or nothing.
fn put_line(out: &mut Vec<u8>, record: &Record, sums: &mut Sums) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[b' '; CHECKSUM_DIGITS + 1]);
    if let Err(error) = serde_json::to_writer(&mut *out, record) {
        out.truncate(start);
        return Err(error.into());
    }
    let (head, json) = out[start..].split_at_mut(CHECKSUM_DIGITS + 1);
    let sum = sums.next(json);
    write!(&mut head[..CHECKSUM_DIGITS], "{sum:08x}")?;
    sums.pass(record, sum);
    out.push(b'\n');
    Ok(())
}

/// From where on a power cut may have left NUL bytes: near the end of a file that ends with one.
fn torn_from(file: &File) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let mut last = [b'\n'];
    if length > 0 {
        file.read_at(&mut last, length - 1)?;
    }
    Ok((last == [NUL]).then(|| length.saturating_sub(TORN_BYTES_MAX)))
}

/// Answers how many bytes are whole records, up to a torn last line, and the checksum to go on with.
fn read(path: &Path, file: &mut File, mut take: impl FnMut(Record)) -> Result<(u64, Sums), LedgerError> {
    let failed = |error| LedgerError::read(path, error);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let torn_from = torn_from(file).map_err(failed)?;
    let may_be_torn = |offset| torn_from.is_some_and(|torn_from| offset >= torn_from);
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut good_bytes, mut sums, mut line) = (0, Sums::default(), Vec::new());
    let mut damaged = None;
    loop {
        line.clear();
        // Not read as a line: there may be many of them.
        let is_nul = reader.fill_buf().map_err(failed)?.first() == Some(&NUL);
        if is_nul && may_be_torn(good_bytes) {
            return Ok((good_bytes, sums));
        }
        let count = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if count == 0 {
            return Ok((good_bytes, sums));
        }
        if let Some(offset) = damaged {
            return Err(LedgerError::Damaged { path: path.to_owned(), offset });
        }
        match parse(&line, &mut sums) {
            // What it goes on to say may not be understood, and must not be taken for damage.
            Some(Record::Opened { version, .. }) if version > VERSION => {
                return Err(LedgerError::Newer { path: path.to_owned(), version });
            }
            Some(record) => {
                take(record);
                good_bytes += count as u64;
            }
            None if line.contains(&NUL) && may_be_torn(good_bytes) => return Ok((good_bytes, sums)),
            // Only a last line may be torn; if another follows, the journal is damaged.
            None => damaged = Some(good_bytes),
        }
    }
}

fn parse(line: &[u8], sums: &mut Sums) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = (line.get(..CHECKSUM_DIGITS)?, line.get(CHECKSUM_DIGITS + 1..)?);
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?, 16).ok()?;
    // Looked through for UTF-8 once: for each of its many short strings that takes longer.
    let record = (sum == sums.next(json)).then(|| serde_json::from_str(str::from_utf8(json).ok()?).ok())??;
    sums.pass(&record, sum);
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::super::record::{FileId, IntentId, JournalId};
    use super::*;
    use crate::discover::SiteId;

    fn some_records() -> Vec<Record> {
        vec![
            Record::Opened { version: VERSION, site: SiteId(4), journal: JournalId(7) },
            Record::Checkpoint { file: FileId(1), offset: 300 },
            Record::Undone { intent: IntentId(7), why: "Matomo's answer: «no»\n".into() },
        ]
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_its_whole_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        for record in some_records() {
            journal.append(&record).unwrap();
        }
        journal.flush().unwrap();
        let whole = std::fs::read(&path).unwrap();
        drop(journal);
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut records = Vec::new();
            let mut journal = Journal::open(&path, |record| records.push(record)).unwrap().unwrap();
            assert_eq!(records, some_records()[..records.len()]);
            journal.append(&Record::Slowest { ms: 1 }).unwrap();
            drop(journal);
            let mut again = 0;
            Journal::open(&path, |_| again += 1).unwrap().unwrap();
            assert_eq!(again, records.len() + 1, "cut at {cut}");
        }
    }

    #[test]
    fn nul_bytes_that_a_power_cut_leaves_at_the_end_are_where_the_journal_ends() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        some_records().iter().for_each(|record| journal.append(record).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
        for (hole, kept) in [(whole.len(), 3), (last, 2), (last + 5, 2)] {
            let mut torn = whole.clone();
            torn[hole..].fill(NUL);
            torn.extend([NUL; 5_000]);
            std::fs::write(&path, &torn).unwrap();
            let mut records = 0;
            Journal::peek(&path, |_| records += 1).unwrap();
            assert_eq!(records, kept, "{hole}");
        }
        // In the middle, and with much behind it, it is damage.
        let mut damaged = whole.repeat(20_000);
        damaged[last..last + 9].fill(NUL);
        damaged.push(NUL);
        std::fs::write(&path, &damaged).unwrap();
        assert!(matches!(Journal::open(&path, |_| {}), Err(LedgerError::Damaged { .. })));
    }

    #[test]
    fn a_line_that_is_missing_or_stands_twice_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        some_records().iter().for_each(|record| journal.append(record).unwrap());
        (0..5).for_each(|ms| journal.append(&Record::Slowest { ms }).unwrap());
        drop(journal);
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        for number in 1..lines.len() - 2 {
            let without = [&lines[..number], &lines[number + 1..]].concat().concat();
            let twice = [&lines[..=number], &lines[number..]].concat().concat();
            for changed in [without, twice] {
                std::fs::write(&path, &changed).unwrap();
                let opened = Journal::open(&path, |_| {});
                assert!(matches!(opened, Err(LedgerError::Damaged { .. })), "line {number}");
                drop(opened);
            }
        }
    }

    #[test]
    fn a_journal_of_version_1_is_read_and_goes_on_with_sums_of_version_2() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let line = |json: &str| format!("{:08x} {json}\n", xxh3_64_with_seed(json.as_bytes(), 0) as u32);
        let old = [line(r#"{"opened":{"version":1,"site":4}}"#), line(r#"{"slowest":{"ms":7}}"#)].concat();
        std::fs::write(&path, &old).unwrap();
        let mut records = Vec::new();
        let mut journal = Journal::open(&path, |record| records.push(record)).unwrap().unwrap();
        assert_eq!(records.len(), 2);
        some_records().iter().for_each(|record| journal.append(record).unwrap());
        drop(journal);
        Journal::peek(&path, |record| records.push(record)).unwrap();
        assert_eq!(records[4..], some_records());
    }

    #[test]
    fn a_journal_is_open_once_though_its_lock_file_is_gone_and_one_that_was_replaced_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        assert!(Journal::open(&path, |_| {}).unwrap().is_none());
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        journal.sync().unwrap();
        std::fs::copy(&path, folder.path().join("backup")).unwrap();
        std::fs::rename(folder.path().join("backup"), &path).unwrap();
        journal.append(&Record::Slowest { ms: 2 }).unwrap();
        assert!(matches!(journal.flush(), Err(LedgerError::Replaced { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(journal.flush(), Err(LedgerError::Replaced { .. })));
    }

    #[test]
    fn a_journal_of_a_newer_version_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        journal.append(&Record::Opened { version: VERSION + 1, site: SiteId(4), journal: JournalId(7) }).unwrap();
        journal.flush().unwrap();
        drop(journal);
        let mut written = std::fs::read(&path).unwrap();
        written.extend(b"0badcafe {\"invented later\":1}\n");
        std::fs::write(&path, &written).unwrap();
        let refused = |result| matches!(result, Err(LedgerError::Newer { version, .. }) if version == VERSION + 1);
        assert!(refused(Journal::open(&path, |_| {}).map(|_| ())) && refused(Journal::peek(&path, |_| {})));
        assert_eq!(std::fs::read(&path).unwrap(), written);
    }

    fn waited<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn kept(journal: &Journal) -> Result<u64, String> {
        journal.syncer.synced.0.borrow().clone()
    }

    #[test]
    fn one_answer_of_the_disk_serves_all_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let first = journal.synced();
        journal.append(&Record::Slowest { ms: 2 }).unwrap();
        let second = journal.synced();
        journal.append(&Record::Slowest { ms: 3 }).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"", "nothing is written before it has to be");
        waited(async {
            journal.flush().unwrap();
            first.await.unwrap();
        });
        assert_eq!(kept(&journal), Ok(3), "all that was appended is durable, not only what was waited for");
        // It need not wait for another answer.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(second).poll(&mut context).is_ready());
        journal.append(&Record::Slowest { ms: 4 }).unwrap();
        journal.flush().unwrap();
        assert_eq!(kept(&journal), Ok(3), "nobody waits for the last one");
        journal.sync().unwrap();
        assert_eq!(kept(&journal), Ok(4));
    }

    #[test]
    fn what_is_appended_while_the_disk_is_asked_is_the_next_question() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap().unwrap();
        waited(async {
            let mut waiting = Vec::new();
            for ms in 0..100 {
                journal.append(&Record::Slowest { ms }).unwrap();
                waiting.push(journal.synced());
                journal.flush().unwrap();
            }
            for one in waiting {
                one.await.unwrap();
            }
        });
        assert_eq!(kept(&journal), Ok(100));
    }

    #[test]
    fn a_disk_that_refused_is_not_believed_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap().unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let path = journal.path.clone();
        let disk = journal.break_by("/dev/null");
        let wait = |journal: &mut Journal| {
            let kept = journal.synced();
            waited(async {
                journal.flush().unwrap();
                kept.await
            })
        };
        let error = wait(&mut journal).unwrap_err();
        assert!(shared::words::sentence(&error).contains("Invalid argument"), "{error:?}");
        (journal.file, journal.path) = (disk, path);
        assert!(wait(&mut journal).is_err() && journal.sync().is_err());
    }

    #[test]
    fn what_is_gathered_takes_little_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        for ms in 0..10_000 {
            journal.append(&Record::Slowest { ms }).unwrap();
            assert!(journal.gathered.len() < GATHERED_BYTES_MAX);
        }
        drop(journal);
        let mut records = 0;
        Journal::peek(&path, |_| records += 1).unwrap();
        assert_eq!(records, 10_000);
    }

    #[test]
    fn what_cannot_be_written_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        let disk = std::mem::replace(&mut journal.file, Arc::new(File::open(&path).unwrap()));
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let kept = journal.synced();
        assert!(journal.flush().is_err());
        let error = waited(kept).unwrap_err();
        assert!(shared::words::sentence(&error).contains("Bad file descriptor"), "{error:?}");
        journal.file = disk;
        assert!(journal.sync().is_err(), "it is opened anew before it is relied on again");
    }

    #[test]
    fn damage_before_the_last_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap().unwrap();
        journal.rewrite(|tell| some_records().into_iter().try_for_each(tell)).unwrap();
        drop(journal);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[12] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Journal::open(&path, |_| {}), Err(LedgerError::Damaged { offset: 0, .. })));
    }
}

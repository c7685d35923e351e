//! An append-only file of records, each with a checksum; a line torn by a crash is cut off when it is opened.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use shared::files::{self, MODE_DEFAULT};
use tokio::sync::Mutex;
use tokio::task::{spawn_blocking, yield_now};
use xxhash_rust::xxh3::xxh3_64;

use super::LedgerError;
use super::record::{Record, VERSION};

const CHECKSUM_DIGITS: usize = 8;
/// How many batches may be written down before the disk is asked to keep the first of them: each question costs as much as
/// reading a hundred lines.
const NEXT_BATCHES: usize = 2;

/// Takes records one by one, so that a long journal is never held as a whole.
pub type Telling<'t> = dyn FnMut(Record) -> io::Result<()> + 't;

/// The open journal of one site.
pub struct Journal {
    path: PathBuf,
    /// Bytes known to be whole records.
    good_bytes: u64,
    disk: Rc<Disk>,
}

/// The file of a journal, shared with those who wait until it is on disk.
struct Disk {
    file: RefCell<Arc<File>>,
    /// Records since the journal was opened.
    appended: Cell<u64>,
    /// How many of them survive a power cut; none can be relied on once the disk has refused, since it may agree the
    /// next time without having written anything.
    durable: Mutex<Option<u64>>,
}

impl Journal {
    /// Opens or creates the journal; `take` is told what it says, record by record.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged anywhere but in its last line, or of a newer version.
    pub fn open(path: &Path, take: impl FnMut(Record)) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::write(path, error);
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let good_bytes = read(path, &mut file, take)?;
        if good_bytes < file.metadata().map_err(failed)?.len() {
            file.set_len(good_bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        let disk = Disk { file: RefCell::new(Arc::new(file)), appended: Cell::new(0), durable: Mutex::new(Some(0)) };
        Ok(Self { path: path.to_owned(), good_bytes, disk: Rc::new(disk) })
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

    /// Appends a record; it is durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// When it cannot be written; the journal then ends where it ended before.
    pub fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        let line = line_of(record).map_err(|error| LedgerError::write(&self.path, error))?;
        let file = self.disk.file.borrow();
        if let Err(error) = file.as_ref().write_all(&line) {
            // Half a line would make the next record unreadable.
            let _ = file.set_len(self.good_bytes);
            return Err(LedgerError::write(&self.path, error));
        }
        self.good_bytes += line.len() as u64;
        self.disk.appended.update(|count| count + 1);
        Ok(())
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// When the disk refuses, or did so before.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.disk.sync().map_err(|error| LedgerError::write(&self.path, error))
    }

    /// The same without keeping this thread from its work: everything appended before the call is durable when the
    /// future ends. All who ask while the disk is busy share its next answer.
    ///
    /// # Errors
    /// As [`Journal::sync`].
    pub fn synced(&self) -> impl Future<Output = Result<(), LedgerError>> + use<> {
        let (path, disk) = (self.path.clone(), Rc::clone(&self.disk));
        let wanted = disk.appended.get();
        async move { disk.reach(wanted).await.map_err(|error| LedgerError::write(&path, error)) }
    }

    /// From now on the disk refuses to keep anything, as a device does that is no disk.
    #[cfg(test)]
    pub fn break_disk(&self) {
        let device = OpenOptions::new().append(true).open("/dev/null").unwrap();
        self.disk.file.replace(Arc::new(device));
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.good_bytes
    }

    /// Replaces the whole journal by what `tell` tells, record by record: the old one or the new one survives a crash, never a mixture.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one then stays.
    pub fn rewrite(&mut self, tell: impl FnOnce(&mut Telling<'_>) -> io::Result<()>) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::write(&self.path, error);
        let write = |file: &mut BufWriter<File>| tell(&mut |record| file.write_all(&line_of(&record)?));
        files::replace_by(&self.path, MODE_DEFAULT, write).map_err(|error| failed(io::Error::other(error)))?;
        let file = OpenOptions::new().read(true).append(true).open(&self.path).map_err(failed)?;
        self.good_bytes = file.metadata().map_err(failed)?.len();
        self.disk.file.replace(Arc::new(file));
        Ok(())
    }
}

impl Disk {
    fn sync(&self) -> io::Result<()> {
        // Where the lock is taken, another thread is at it, but may have begun before the last record.
        let mut durable = self.durable.try_lock().ok();
        if let Some(durable) = &durable
            && durable.ok_or_else(refused_before)? == self.appended.get()
        {
            return Ok(());
        }
        let result = self.file.borrow().sync_data();
        if let Some(durable) = &mut durable {
            **durable = result.is_ok().then(|| self.appended.get());
        }
        result
    }

    async fn reach(&self, wanted: u64) -> io::Result<()> {
        let mut durable = self.durable.lock().await;
        if durable.ok_or_else(refused_before)? >= wanted {
            return Ok(());
        }
        // Batches that are nearly full may leave with this one. Where nothing is being read this takes no time.
        for _ in 0..NEXT_BATCHES {
            yield_now().await;
        }
        let appended = self.appended.get();
        let file = Arc::clone(&self.file.borrow());
        let result = spawn_blocking(move || file.sync_data()).await.map_err(io::Error::other).flatten();
        *durable = result.is_ok().then_some(appended);
        result
    }
}

fn refused_before() -> io::Error {
    io::Error::other("the disk refused to keep what was written before")
}

fn line_of(record: &Record) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", checksum(json.as_bytes())).into_bytes())
}

fn checksum(json: &[u8]) -> u32 {
    xxh3_64(json) as u32
}

/// Answers how many bytes are whole records.
fn read(path: &Path, file: &mut File, mut take: impl FnMut(Record)) -> Result<u64, LedgerError> {
    file.seek(SeekFrom::Start(0)).map_err(|error| LedgerError::read(path, error))?;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut good_bytes, mut line) = (0, Vec::new());
    let mut damaged = None;
    loop {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).map_err(|error| LedgerError::read(path, error))?;
        if count == 0 {
            return Ok(good_bytes);
        }
        if let Some(offset) = damaged {
            return Err(LedgerError::Damaged { path: path.to_owned(), offset });
        }
        match parse(&line) {
            // What it goes on to say may not be understood, and must not be taken for damage.
            Some(Record::Opened { version, .. }) if version > VERSION => {
                return Err(LedgerError::Newer { path: path.to_owned(), version });
            }
            Some(record) => {
                take(record);
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
    use super::super::record::{FileId, IntentId};
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
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        for record in some_records() {
            journal.append(&record).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut records = Vec::new();
            let mut journal = Journal::open(&path, |record| records.push(record)).unwrap();
            assert_eq!(records, some_records()[..records.len()]);
            journal.append(&Record::Slowest { ms: 1 }).unwrap();
            let mut again = 0;
            Journal::open(&path, |_| again += 1).unwrap();
            assert_eq!(again, records.len() + 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_journal_of_a_newer_version_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        journal.append(&Record::Opened { version: VERSION + 1, site: SiteId(4) }).unwrap();
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

    #[test]
    fn who_asks_while_the_disk_is_busy_shares_its_next_answer() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap();
        let durable = |journal: &Journal| *journal.disk.durable.try_lock().unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let first = journal.synced();
        journal.append(&Record::Slowest { ms: 2 }).unwrap();
        let second = journal.synced();
        waited(first).unwrap();
        assert_eq!(durable(&journal), Some(2), "all that was appended is durable, not only what was asked for");
        // Without a runtime nothing could be synced any more, and nothing has to be.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(second).poll(&mut context).is_ready());
        journal.append(&Record::Slowest { ms: 3 }).unwrap();
        journal.sync().unwrap();
        assert_eq!(durable(&journal), Some(3));
    }

    #[test]
    fn what_is_written_down_a_moment_later_is_kept_by_the_same_answer() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let mut first = std::pin::pin!(journal.synced());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        journal.append(&Record::Slowest { ms: 2 }).unwrap();
        waited(first).unwrap();
        assert_eq!(*journal.disk.durable.try_lock().unwrap(), Some(2));
    }

    #[test]
    fn a_disk_that_refused_is_not_believed_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let disk = Arc::clone(&journal.disk.file.borrow());
        journal.break_disk();
        assert!(waited(journal.synced()).is_err());
        journal.disk.file.replace(disk);
        assert!(waited(journal.synced()).is_err() && journal.sync().is_err());
    }

    #[test]
    fn damage_before_the_last_line_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        journal.rewrite(|tell| some_records().into_iter().try_for_each(tell)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[12] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert!(matches!(Journal::open(&path, |_| {}), Err(LedgerError::Damaged { offset: 0, .. })));
    }
}

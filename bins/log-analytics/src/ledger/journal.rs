//! An append-only file of records, each with a checksum; a line torn by a crash is cut off when it is opened.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;

use shared::files::{self, MODE_DEFAULT};
use tokio::sync::watch;
use xxhash_rust::xxh3::xxh3_64;

use super::LedgerError;
use super::record::{Record, VERSION};
use super::tail::{BLANK, Tail};

const CHECKSUM_DIGITS: usize = 8;
/// So much is gathered at most, or a takeover of many files would be held in memory as a whole.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Takes records one by one, so that a long journal is never held as a whole.
pub type Telling<'t> = dyn FnMut(Record) -> io::Result<()> + 't;

/// The open journal of one site. Records are gathered, and written and synced together: each call of the system costs as
/// much as reading a good many lines of a log.
pub struct Journal {
    path: PathBuf,
    tail: Tail,
    /// Records that are not in the file yet.
    gathered: Vec<u8>,
    /// Records since the journal was opened.
    appended: u64,
    /// How many of them somebody waits for.
    wanted: u64,
    keeper: Keeper,
}

/// Asks the disk on a thread of its own, one question at a time.
struct Keeper {
    /// To that thread, once there was a question.
    questions: Option<mpsc::Sender<Question>>,
    kept: Arc<Kept>,
}

/// What the disk is to keep: a file, and how many records are in it.
type Question = (Arc<File>, u64);

/// How many records survive a power cut. None can be relied on once the disk has refused, and why: it may agree the
/// next time without having written anything.
struct Kept(watch::Sender<Result<u64, String>>);

impl Journal {
    /// Opens or creates the journal; `take` is told what it says, record by record.
    ///
    /// # Errors
    /// When it cannot be read or written, is damaged anywhere but in its last line, or of a newer version.
    pub fn open(path: &Path, take: impl FnMut(Record)) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::write(path, error);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let good_bytes = read(path, &mut file, take)?;
        if good_bytes < file.metadata().map_err(failed)?.len() {
            file.set_len(good_bytes).and_then(|()| file.sync_data()).map_err(failed)?;
        }
        let kept = Arc::new(Kept(watch::Sender::new(Ok(0))));
        Ok(Self {
            path: path.to_owned(),
            tail: Tail::new(file, good_bytes),
            gathered: Vec::new(),
            appended: 0,
            wanted: 0,
            keeper: Keeper { questions: None, kept },
        })
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

    /// Appends a record. It is in the file after the next [`Journal::keep`], and durable after the next [`Journal::sync`].
    ///
    /// # Errors
    /// When it cannot be written, as far as that is tried now; see [`Journal::sync`].
    pub fn append(&mut self, record: &Record) -> Result<(), LedgerError> {
        put_line(&mut self.gathered, record).map_err(|error| LedgerError::write(&self.path, error))?;
        self.appended += 1;
        if self.gathered.len() < GATHERED_BYTES_MAX { Ok(()) } else { self.write_out() }
    }

    /// Makes everything appended so far survive a power cut.
    ///
    /// # Errors
    /// When it cannot be written, the disk refuses, or did so before.
    pub fn sync(&mut self) -> Result<(), LedgerError> {
        self.write_out()?;
        self.wanted = 0;
        let kept = &self.keeper.kept;
        if kept.0.borrow().as_ref() != Ok(&self.appended) {
            kept.hear(self.tail.file().sync_data(), self.appended);
        }
        kept.0.borrow().as_ref().map(|_| ()).map_err(|why| refused(&self.path, why))
    }

    /// Waits until everything appended before the call is durable. That takes a [`Journal::keep`] after it.
    ///
    /// # Errors
    /// When the disk refuses, or did so before.
    pub fn synced(&mut self) -> impl Future<Output = Result<(), LedgerError>> + use<> {
        self.wanted = self.appended;
        let (path, wanted, mut kept) = (self.path.clone(), self.wanted, self.keeper.kept.0.subscribe());
        async move {
            let answer = kept.wait_for(|kept| kept.as_ref().map_or(true, |records| *records >= wanted)).await;
            match answer.as_deref() {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(why)) => Err(refused(&path, why)),
                Err(_) => Err(refused(&path, "the journal was closed")),
            }
        }
    }

    /// Puts everything appended so far into the file and, if somebody waits for that, has the disk asked to keep it, without
    /// keeping this thread from its work.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&mut self) -> Result<(), LedgerError> {
        self.write_out()?;
        if std::mem::take(&mut self.wanted) > 0 {
            self.keeper.ask(Arc::clone(self.tail.file()), self.appended);
        }
        Ok(())
    }

    /// What cannot be written is not kept either.
    fn write_out(&mut self) -> Result<(), LedgerError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.tail.append(&self.gathered) {
            let refusal = refused(&self.path, &error.to_string());
            self.keeper.kept.hear(Err(error), 0);
            return Err(refusal);
        }
        self.gathered.clear();
        Ok(())
    }

    /// From now on the disk refuses to keep anything, as a device does that is no disk.
    #[cfg(test)]
    pub fn break_disk(&mut self) {
        let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
        self.tail.replace(Arc::new(device));
    }

    /// Size in bytes.
    pub fn bytes(&self) -> u64 {
        self.tail.end() + self.gathered.len() as u64
    }

    /// Replaces the whole journal by what `tell` tells, record by record: the old one or the new one survives a crash, never a mixture.
    ///
    /// # Errors
    /// When the new file cannot be written; the old one then stays.
    pub fn rewrite(&mut self, tell: impl FnOnce(&mut Telling<'_>) -> io::Result<()>) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::write(&self.path, error);
        let write = |file: &mut BufWriter<File>| {
            let mut line = Vec::new();
            tell(&mut |record| {
                line.clear();
                put_line(&mut line, &record)?;
                file.write_all(&line)
            })
        };
        files::replace_by(&self.path, MODE_DEFAULT, write).map_err(|error| failed(io::Error::other(error)))?;
        let file = OpenOptions::new().write(true).open(&self.path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        self.gathered.clear();
        self.tail = Tail::new(file, bytes);
        Ok(())
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever needed it on disk has synced it; the rest saves questions at the next start.
        let _ = self.write_out();
    }
}

impl Keeper {
    /// Has the disk asked, on a thread of its own, to keep so many records of a file.
    fn ask(&mut self, file: Arc<File>, records: u64) {
        let questions = match &self.questions {
            Some(questions) => questions,
            None => match Self::begin(Arc::clone(&self.kept)) {
                Ok(questions) => self.questions.insert(questions),
                Err(error) => return self.kept.hear(Err(error), 0),
            },
        };
        if questions.send((file, records)).is_err() {
            self.kept.hear(Err(io::Error::other("nobody asks it any more")), 0);
        }
    }

    /// The thread ends with the journal.
    fn begin(kept: Arc<Kept>) -> io::Result<mpsc::Sender<Question>> {
        let (questions, asked) = mpsc::channel::<Question>();
        thread::Builder::new().name("ledger".to_owned()).spawn(move || {
            while let Ok(first) = asked.recv() {
                // What was to be kept meanwhile is kept with the last of it, as it is one file.
                let (file, records) = asked.try_iter().last().unwrap_or(first);
                kept.hear(file.sync_data(), records);
            }
        })?;
        Ok(questions)
    }
}

impl Kept {
    /// The disk answered.
    fn hear(&self, answer: io::Result<()>, records: u64) {
        self.0.send_modify(|kept| match (kept, answer) {
            (Ok(before), Ok(())) => *before = records.max(*before),
            (kept @ Ok(_), Err(error)) => *kept = Err(error.to_string()),
            (Err(_), _) => {}
        });
    }
}

fn refused(path: &Path, why: &str) -> LedgerError {
    LedgerError::write(path, io::Error::other(format!("the disk refused to keep what was written: {why}")))
}

/// Appends a record's line, or nothing.
fn put_line(out: &mut Vec<u8>, record: &Record) -> io::Result<()> {
    let start = out.len();
    out.extend_from_slice(&[b' '; CHECKSUM_DIGITS + 1]);
    if let Err(error) = serde_json::to_writer(&mut *out, record) {
        out.truncate(start);
        return Err(error.into());
    }
    let (sum, json) = out[start..].split_at_mut(CHECKSUM_DIGITS + 1);
    write!(&mut sum[..CHECKSUM_DIGITS], "{:08x}", checksum(json))?;
    out.push(b'\n');
    Ok(())
}

fn checksum(json: &[u8]) -> u32 {
    xxh3_64(json) as u32
}

/// Answers how many bytes are whole records, up to the room behind them or a torn last line.
fn read(path: &Path, file: &mut File, mut take: impl FnMut(Record)) -> Result<u64, LedgerError> {
    let failed = |error| LedgerError::read(path, error);
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let torn_from = Tail::torn_from(file).map_err(failed)?;
    let may_be_torn = |offset| torn_from.is_some_and(|torn_from| offset >= torn_from);
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut good_bytes, mut line) = (0, Vec::new());
    let mut damaged = None;
    loop {
        line.clear();
        // Room is not read as a line: it may be long.
        let is_room = reader.fill_buf().map_err(failed)?.first() == Some(&BLANK);
        if is_room && may_be_torn(good_bytes) {
            return Ok(good_bytes);
        }
        let count = reader.read_until(b'\n', &mut line).map_err(failed)?;
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
            // Behind a line torn by a power cut may stand others that nobody was told to be kept.
            None if line.contains(&BLANK) && may_be_torn(good_bytes) => return Ok(good_bytes),
            // Else only a last line may be torn; if another follows, the journal is damaged.
            None => damaged = Some(good_bytes),
        }
    }
}

fn parse(line: &[u8]) -> Option<Record> {
    let line = line.strip_suffix(b"\n")?;
    let (sum, json) = (line.get(..CHECKSUM_DIGITS)?, line.get(CHECKSUM_DIGITS + 1..)?);
    let sum = u32::from_str_radix(str::from_utf8(sum).ok()?, 16).ok()?;
    // Looked through for UTF-8 once: for each of its many short strings that takes longer.
    (sum == checksum(json)).then(|| serde_json::from_str(str::from_utf8(json).ok()?).ok())?
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
        journal.keep().unwrap();
        // The records, and the beginning of the room.
        let whole = std::fs::read(&path).unwrap()[..journal.bytes() as usize + 3].to_vec();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut records = Vec::new();
            let mut journal = Journal::open(&path, |record| records.push(record)).unwrap();
            assert_eq!(records, some_records()[..records.len()]);
            journal.append(&Record::Slowest { ms: 1 }).unwrap();
            drop(journal);
            let mut again = 0;
            Journal::open(&path, |_| again += 1).unwrap();
            assert_eq!(again, records.len() + 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_journal_that_was_never_closed_keeps_its_records_and_loses_its_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        some_records().iter().for_each(|record| journal.append(record).unwrap());
        journal.keep().unwrap();
        let left = std::fs::read(&path).unwrap();
        assert!(left.len() as u64 > journal.bytes(), "there is no room");
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        drop(journal);
        let closed = std::fs::read(&path).unwrap();
        assert_eq!(closed.last(), Some(&b'\n'));
        std::fs::write(&path, &left).unwrap();
        let mut records = Vec::new();
        Journal::peek(&path, |record| records.push(record)).unwrap();
        assert_eq!(records, some_records());
        Journal::open(&path, |record| records.push(record)).unwrap().append(&Record::Slowest { ms: 1 }).unwrap();
        assert_eq!(records[3..], some_records());
        assert_eq!(std::fs::read(&path).unwrap(), closed);
    }

    #[test]
    fn a_hole_in_the_room_is_where_the_journal_ends_and_any_other_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        (0..100).for_each(|ms| journal.append(&Record::Slowest { ms }).unwrap());
        drop(journal);
        let whole = std::fs::read(&path).unwrap();
        let line = whole.len() / 100;
        for hole in [line * 3..line * 5, line * 3 + 4..line * 5 + 4, line * 3 - 1..line * 4] {
            let mut torn = whole.clone();
            torn[hole.clone()].fill(BLANK);
            let room = [BLANK; 100];
            std::fs::write(&path, [&torn, &room[..]].concat()).unwrap();
            let mut before = 0;
            Journal::peek(&path, |_| before += 1).unwrap();
            assert_eq!(before, hole.start.div_euclid(line), "{hole:?}");
            // The same in a journal that was closed, and with so much behind it that it must have been synced once.
            let synced = [&torn, &*whole.repeat(1000), &room].concat();
            for damaged in [torn, synced] {
                std::fs::write(&path, &damaged).unwrap();
                assert!(matches!(Journal::open(&path, |_| {}), Err(LedgerError::Damaged { .. })));
                assert_eq!(std::fs::read(&path).unwrap(), damaged);
            }
        }
    }

    #[test]
    fn a_journal_of_a_newer_version_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        journal.append(&Record::Opened { version: VERSION + 1, site: SiteId(4) }).unwrap();
        journal.keep().unwrap();
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
        journal.keeper.kept.0.borrow().clone()
    }

    #[test]
    fn one_answer_of_the_disk_serves_all_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let first = journal.synced();
        journal.append(&Record::Slowest { ms: 2 }).unwrap();
        let second = journal.synced();
        journal.append(&Record::Slowest { ms: 3 }).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"", "nothing is written before it has to be");
        waited(async {
            journal.keep().unwrap();
            first.await.unwrap();
        });
        assert_eq!(kept(&journal), Ok(3), "all that was appended is durable, not only what was waited for");
        // It need not wait for another answer.
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(std::pin::pin!(second).poll(&mut context).is_ready());
        journal.append(&Record::Slowest { ms: 4 }).unwrap();
        journal.keep().unwrap();
        assert_eq!(kept(&journal), Ok(3), "nobody waits for the last one");
        journal.sync().unwrap();
        assert_eq!(kept(&journal), Ok(4));
    }

    #[test]
    fn what_is_appended_while_the_disk_is_asked_is_the_next_question() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap();
        waited(async {
            let mut waiting = Vec::new();
            for ms in 0..100 {
                journal.append(&Record::Slowest { ms }).unwrap();
                waiting.push(journal.synced());
                journal.keep().unwrap();
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
        let mut journal = Journal::open(&folder.path().join("site-4.journal"), |_| {}).unwrap();
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let disk = Arc::clone(journal.tail.file());
        journal.break_disk();
        let wait = |journal: &mut Journal| {
            let kept = journal.synced();
            waited(async {
                journal.keep().unwrap();
                kept.await
            })
        };
        let error = wait(&mut journal).unwrap_err();
        assert!(shared::words::sentence(&error).contains("Invalid argument"), "{error:?}");
        journal.tail.replace(disk);
        assert!(wait(&mut journal).is_err() && journal.sync().is_err());
    }

    #[test]
    fn what_is_gathered_takes_little_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site-4.journal");
        let mut journal = Journal::open(&path, |_| {}).unwrap();
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
        let mut journal = Journal::open(&path, |_| {}).unwrap();
        let disk = journal.tail.replace(Arc::new(File::open(&path).unwrap()));
        journal.append(&Record::Slowest { ms: 1 }).unwrap();
        let kept = journal.synced();
        assert!(journal.keep().is_err());
        let error = waited(kept).unwrap_err();
        assert!(shared::words::sentence(&error).contains("Bad file descriptor"), "{error:?}");
        journal.tail.replace(disk);
        assert!(journal.sync().is_err(), "it is opened anew before it is relied on again");
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

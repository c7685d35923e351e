//! A web server that writes its logs, and whoever rotates, copies, compresses and mirrors them.
#![expect(clippy::unwrap_used, reason = "a web server that cannot write its log fails the test")]

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Format, Line, balanced};
use crate::random::Random;

/// Logs that begin with a longer hole all look alike, and are set aside.
const HOLE_BYTES_MAX: u64 = 60_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// How a web server's log comes to another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Files by the hour, complete before the importer sees them.
    None,
    /// Renamed.
    Rename,
    /// Copied, then truncated.
    CopyTruncate,
    /// It lies elsewhere; copies take the place of older ones.
    Mirror,
}

/// A web server: what it still has to log, and its files.
#[derive(Debug)]
pub struct WebServer {
    folder: PathBuf,
    rotation: Rotation,
    to_come: VecDeque<Vec<u8>>,
    /// The rest of a line of which the beginning was written.
    unfinished: Vec<u8>,
    /// The open log; after a rotation still the renamed one, until the next line is written.
    log: Option<File>,
    /// Where it writes, if it does not append: behind the end of a file that was truncated.
    position: Option<u64>,
    /// Copied, and about to be truncated.
    truncating: bool,
    /// A file that is being compressed, and whether its archive is complete.
    compressing: Option<(PathBuf, bool)>,
    /// Copies that are not complete yet.
    copying: Vec<(PathBuf, Vec<u8>)>,
    copies: u32,
    /// The logs at the place that is mirrored, the newest first.
    remote: Vec<Vec<u8>>,
    /// Which of them comes next.
    fetching: usize,
}

impl WebServer {
    /// A server that will log these lines, in some stories without the end of the last one.
    pub fn new(folder: PathBuf, rotation: Rotation, lines: &[Line], random: &mut Random) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut to_come: VecDeque<Vec<u8>> =
            lines.iter().map(|line| (Format::Combined.write(line) + "\n").into_bytes()).collect();
        if let Some(last) = to_come.back_mut().filter(|_| random.chance(0.3)) {
            last.pop();
        }
        Self {
            folder,
            rotation,
            to_come,
            unfinished: Vec::new(),
            log: None,
            position: random.chance(0.5).then_some(0),
            truncating: false,
            compressing: None,
            copying: Vec::new(),
            copies: 0,
            remote: vec![Vec::new()],
            fetching: 0,
        }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.folder.join(if number == 0 { "access.log".to_owned() } else { format!("access.log.{number}") })
    }

    /// Something happens to the files. Whatever it is, every line that was written lies in one of them at the end.
    pub fn happen(&mut self, random: &mut Random) -> String {
        if self.truncating {
            return self.truncate();
        }
        match random.below(13) {
            0..4 => self.write(1 + random.below(5) as usize, random),
            4 | 5 => self.rotate(random),
            6 | 7 => self.compress(random),
            8 | 9 => self.copy(random),
            10 => self.touch(random),
            _ if self.rotation == Rotation::Mirror => self.fetch(2),
            _ => self.write(1, random),
        }
    }

    /// Logs some lines, the last one perhaps not to its end.
    pub fn write(&mut self, lines: usize, random: &mut Random) -> String {
        let rest = std::mem::take(&mut self.unfinished);
        self.put(&rest);
        if !self.truncating {
            self.open();
        }
        let count = lines.min(self.to_come.len());
        let mut bytes = self.to_come.drain(..count).flatten().collect::<Vec<u8>>();
        if random.chance(0.3)
            && let Some(mut line) = self.to_come.pop_front()
        {
            self.unfinished = line.split_off(1 + random.below(line.len() as u64 - 1) as usize);
            bytes.extend(line);
        }
        self.put(&bytes);
        format!("{count} lines, {} bytes of the last one to come", self.unfinished.len())
    }

    /// Opens the log at its path, if a rotation took the one that is open.
    fn open(&mut self) {
        if self.log.is_none() && self.rotation != Rotation::Mirror {
            let appends = self.position.is_none();
            self.log = Some(
                OpenOptions::new().create(true).append(appends).write(true).truncate(false).open(self.path(0)).unwrap(),
            );
            self.position = self.position.map(|_| self.log.as_ref().unwrap().metadata().unwrap().len());
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.rotation == Rotation::Mirror {
            return self.remote[0].extend(bytes);
        }
        self.open();
        let mut log = self.log.as_ref().unwrap();
        match &mut self.position {
            Some(position) => {
                log.write_all_at(bytes, *position).unwrap();
                *position += bytes.len() as u64;
            }
            None => log.write_all(bytes).unwrap(),
        }
    }

    fn rotate(&mut self, random: &mut Random) -> String {
        match self.rotation {
            Rotation::None => return String::new(),
            Rotation::Mirror => {
                let rest = std::mem::take(&mut self.unfinished);
                self.put(&rest);
                self.remote.insert(0, Vec::new());
            }
            Rotation::Rename if !self.path(0).exists() => return String::new(),
            Rotation::Rename => {
                // A line that is half written is completed under the new name.
                let rest = std::mem::take(&mut self.unfinished);
                if random.chance(0.5) {
                    self.put(&rest);
                } else {
                    self.unfinished = rest;
                }
                self.shift();
                let _ = fs::rename(self.path(0), self.path(1));
                if self.unfinished.is_empty() {
                    self.log = None;
                }
            }
            Rotation::CopyTruncate => {
                let rest = std::mem::take(&mut self.unfinished);
                self.put(&rest);
                if self.log.is_some() {
                    self.shift();
                    fs::copy(self.path(0), self.path(1)).unwrap();
                    self.truncating = true;
                }
            }
        }
        "rotated".to_owned()
    }

    fn truncate(&mut self) -> String {
        self.log.as_ref().unwrap().set_len(0).unwrap();
        self.truncating = false;
        self.position = self.position.map(|position| if position > HOLE_BYTES_MAX { 0 } else { position });
        "truncated".to_owned()
    }

    /// Makes room for a first rotated file.
    fn shift(&mut self) {
        while self.compressing.is_some() {
            self.compress_on();
        }
        let packed = |path: &Path| PathBuf::from(format!("{}.gz", path.display()));
        let is_there = |number: &usize| self.path(*number).exists() || packed(&self.path(*number)).exists();
        for number in (1..).take_while(is_there).collect::<Vec<_>>().into_iter().rev() {
            let (from, to) = (self.path(number), self.path(number + 1));
            let _ = fs::rename(packed(&from), packed(&to));
            let _ = fs::rename(from, to);
        }
    }

    fn compress(&mut self, random: &mut Random) -> String {
        if self.compressing.is_some() {
            self.compress_on();
            return "compressed on".to_owned();
        }
        // The newest may still be written to.
        let number = 2 + random.below(2) as usize;
        let path = self.path(number);
        if self.rotation == Rotation::Mirror || !path.exists() || !self.unfinished.is_empty() {
            return String::new();
        }
        let whole = packed(&fs::read(&path).unwrap());
        fs::write(format!("{}.gz", path.display()), &whole[..random.below(whole.len() as u64) as usize]).unwrap();
        self.compressing = Some((path, false));
        format!("compressing .{number}")
    }

    fn compress_on(&mut self) {
        let Some((path, is_complete)) = self.compressing.take() else { return };
        if is_complete {
            return fs::remove_file(path).unwrap();
        }
        fs::write(format!("{}.gz", path.display()), packed(&fs::read(&path).unwrap())).unwrap();
        self.compressing = Some((path, true));
    }

    /// Somebody copies a log to a place beside it: all of it, some of its lines, or not to the end for now.
    fn copy(&mut self, random: &mut Random) -> String {
        if let Some((path, bytes)) = self.copying.pop() {
            fs::write(path, bytes).unwrap();
            return "copied to its end".to_owned();
        }
        let number = random.below(3) as usize;
        let Ok(bytes) = fs::read(self.path(number)) else { return String::new() };
        let ends: Vec<usize> = (1..=bytes.len()).filter(|at| bytes[at - 1] == b'\n').collect();
        // One line makes no copy: two servers may begin alike.
        let Some(ends) = ends.get(1..).filter(|ends| !ends.is_empty()) else { return String::new() };
        self.copies += 1;
        let path = self.folder.join(format!("{}-{}", random.pick(&["access.log.bak", "a-copy"]), self.copies));
        let lines = if random.chance(0.5) { *random.pick(ends) } else { *ends.last().unwrap() };
        let said = format!("copied {lines} of {} bytes of .{number} to {}", bytes.len(), path.display());
        if random.chance(0.3) {
            let cut = ends[0] + random.below((lines - ends[0]) as u64 + 1) as usize;
            fs::write(&path, &bytes[..cut]).unwrap();
            self.copying.push((path, bytes[..lines].to_vec()));
            return format!("{said}, up to {cut}");
        }
        fs::write(&path, &bytes[..lines]).unwrap();
        said
    }

    /// The time of a file is changed, and so is that of its inode.
    fn touch(&mut self, random: &mut Random) -> String {
        let number = random.below(3) as usize;
        let Ok(file) = File::open(self.path(number)) else { return String::new() };
        let hours = random.below(20) as u32;
        let time = if random.chance(0.5) { SystemTime::now() + HOUR * hours } else { SystemTime::now() - HOUR * hours };
        file.set_modified(time).unwrap();
        format!("touched .{number}")
    }

    /// Another of the mirrored logs takes the place of what lies there, if it has so many lines or none: a longer log that
    /// begins with the one line of another one that stays is not its copy.
    pub fn fetch(&mut self, lines_least: usize) -> String {
        let number = self.fetching;
        self.fetching = (number + 1) % self.remote.len();
        let (path, bytes) = (self.path(number), &self.remote[number]);
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
        if fs::read(&path).ok().as_ref() == Some(bytes) || !bytes.is_empty() && lines < lines_least {
            return String::new();
        }
        let new = self.folder.join(".access.log.Xy12ab");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, path).unwrap();
        format!("fetched .{number}, {} bytes", self.remote[number].len())
    }

    /// All lines are written, all copies and archives complete.
    pub fn finish(&mut self, random: &mut Random) {
        if self.truncating {
            self.truncate();
        }
        while !self.to_come.is_empty() || !self.unfinished.is_empty() {
            self.write(usize::MAX, random);
        }
        while !self.copying.is_empty() {
            self.copy(random);
        }
        while self.compressing.is_some() {
            self.compress_on();
        }
        if self.rotation == Rotation::Mirror {
            self.fetching = 0;
            (0..self.remote.len()).for_each(|_| drop(self.fetch(0)));
        }
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// The files of one or two web servers; without rotation they are all there.
pub fn web_servers(site: &Path, rotation: Rotation, lines: &[Line], seed: u64, random: &mut Random) -> Vec<WebServer> {
    if rotation == Rotation::None {
        balanced(site, lines, Format::Combined, seed).unwrap();
        return Vec::new();
    }
    let (first, second): (Vec<Line>, Vec<Line>) = lines.iter().cloned().partition(|_| random.chance(0.5));
    let servers = if random.chance(0.5) { vec![lines.to_vec()] } else { vec![first, second] };
    let web = |(index, lines): (usize, Vec<Line>)| {
        let mut web = WebServer::new(site.join(format!("web{}", index + 1)), rotation, &lines, random);
        let begun = random.below(lines.len() as u64) as usize;
        web.write(begun, random);
        if rotation == Rotation::Mirror {
            web.fetch(2);
        }
        web
    };
    servers.into_iter().enumerate().map(web).collect()
}

//! Lines as files: one an hour as EEA's servers write them, from one server or from two behind a balancer.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::format::hour_file;
use super::{Format, Line};
use crate::random::Random;

/// Write lines to one file, in their order, and make the folders above it.
///
/// # Errors
/// When the file cannot be written.
pub fn write(file: &Path, lines: &[Line], format: Format) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, text(lines, format))
}

/// The lines as the bytes of a file.
fn text(lines: &[Line], format: Format) -> String {
    lines.iter().map(|line| format.write(line) + "\n").collect()
}

/// Write `access_log.YYYY-MM-DD-HH` files, one for each hour that has lines; answers their paths, the oldest first.
///
/// # Errors
/// When a file cannot be written.
pub fn hourly(folder: &Path, lines: &[Line], format: Format) -> io::Result<Vec<PathBuf>> {
    let mut hours: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in lines {
        hours.entry(hour_file(line.second)).or_default().push(line.clone());
    }
    let files = hours.into_iter().map(|(name, lines)| {
        let file = folder.join(name);
        write(&file, &lines, format).map(|()| file)
    });
    files.collect()
}

/// Write the lines as two servers behind a balancer would: each request in the folder `web1` or `web2`, so that the
/// lines of one visitor lie in both.
///
/// # Errors
/// When a file cannot be written.
pub fn balanced(folder: &Path, lines: &[Line], format: Format, seed: u64) -> io::Result<Vec<PathBuf>> {
    let mut random = Random::seeded(seed);
    let (first, second): (Vec<Line>, Vec<Line>) = lines.iter().cloned().partition(|_| random.chance(0.5));
    let mut files = hourly(&folder.join("web1"), &first, format)?;
    files.extend(hourly(&folder.join("web2"), &second, format)?);
    Ok(files)
}

/// Lines as a gzip file.
///
/// # Panics
/// Never: writing to memory does not fail.
pub fn compressed(lines: &[Line], format: Format) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    // Memory takes every byte, so there is no error to report.
    let _ = gzip.write_all(text(lines, format).as_bytes());
    gzip.finish().unwrap_or_default()
}

/// Replace a file by its gzip, as a rotation does: the same name with `.gz`. Answers the new path.
///
/// # Errors
/// When one of the two files cannot be read, written or removed.
pub fn compress(file: &Path) -> io::Result<PathBuf> {
    let mut name = file.as_os_str().to_owned();
    name.push(".gz");
    let packed = PathBuf::from(name);
    let mut gzip = GzEncoder::new(File::create(&packed)?, Compression::default());
    io::copy(&mut File::open(file)?, &mut gzip)?;
    gzip.finish()?;
    fs::remove_file(file)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::log::Traffic;

    fn read(files: &[PathBuf]) -> Vec<String> {
        files
            .iter()
            .flat_map(|file| fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn hours_and_servers_hold_every_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let lines = Traffic::seeded(3).with_gaps_of(30).lines(600);
        let mut all: Vec<String> = lines.iter().map(|line| Format::Combined.write(line)).collect();
        let hours = hourly(&folder.path().join("one"), &lines, Format::Combined).unwrap();
        assert!(hours.len() > 2);
        assert_eq!(read(&hours), all);

        let both = balanced(&folder.path().join("two"), &lines, Format::Combined, 1).unwrap();
        let mut found = read(&both);
        found.sort();
        all.sort();
        assert_eq!(found, all);
    }

    #[test]
    fn a_rotated_file_is_gone_and_its_content_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let lines = Traffic::seeded(3).lines(20);
        let file = folder.path().join("access_log.2026-01-01-00");
        write(&file, &lines, Format::Combined).unwrap();
        let plain = fs::read(&file).unwrap();
        let packed = compress(&file).unwrap();
        assert!(!file.exists());
        for bytes in [fs::read(packed).unwrap(), compressed(&lines, Format::Combined)] {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, plain);
        }
    }
}

//! Compressed files: any bytes are read or refused; what was compressed comes out again; what was cut never ends in silence.
#![no_main]

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use log_analytics::file::{self, Compression};

/// A few bytes can unpack to hundreds of megabytes; more than this adds nothing but time.
const UNPACKED_BYTES_MAX: u64 = 4 << 20;

static PATH: LazyLock<PathBuf> = LazyLock::new(|| PathBuf::from(format!("/dev/shm/archive.{}", std::process::id())));

/// One way to pack.
fn packed(compression: Compression, text: &[u8]) -> io::Result<Vec<u8>> {
    Ok(match compression {
        Compression::None => text.to_vec(),
        Compression::Gzip => {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text)?;
            writer.finish()?
        }
        Compression::Bzip2 => {
            let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
            writer.write_all(text)?;
            writer.finish()?
        }
        Compression::Zstd => zstd::encode_all(text, 1)?,
        Compression::Xz => {
            let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(0))?;
            writer.write_all(text)?;
            writer.finish()?
        }
    })
}

/// All lines with their offsets; an error if the file does not end well, nothing if it holds too much.
fn lines(path: &Path) -> Option<Result<Vec<(u64, Vec<u8>)>, file::ReadError>> {
    let mut lines = match file::lines_from(path, 0, &|| false) {
        Ok(lines) => lines,
        Err(error) => return Some(Err(error)),
    };
    let (mut all, mut at) = (Vec::new(), 0);
    loop {
        match lines.next_line() {
            Ok(Some(line)) => {
                assert_eq!(line.offset, at);
                at = line.end;
                all.push((line.offset, line.bytes.to_vec()));
                if at > UNPACKED_BYTES_MAX {
                    return None;
                }
            }
            Ok(None) => return Some(Ok(all)),
            Err(error) => return Some(Err(error)),
        }
    }
}

fn any_bytes(bytes: &[u8]) {
    fs::write(&*PATH, bytes).expect("memory can be written");
    let Some(read) = lines(&PATH) else { return };
    let verified = file::verify(&PATH, &|| false);
    let extent = file::extent(&PATH, &|| false);
    match read {
        Ok(all) => {
            assert!(verified.is_ok());
            let extent = extent.expect("it was read to its end");
            if let Some((offset, bytes)) = all.last() {
                assert!(*offset < extent.bytes);
                let mut again = file::lines_from(&PATH, *offset, &|| false).expect("it was read to its end");
                let line = again.next_line().expect("it was read to its end").expect("it is there");
                assert_eq!((line.offset, line.end), (*offset, extent.bytes));
                assert!(*offset == 0 || line.bytes == *bytes);
            }
        }
        Err(_) => assert!(verified.is_err() && extent.is_err()),
    }
}

/// Members of one compression, one after another, read whole and then cut.
fn members(choice: u8, cut: u16, texts: &[u8]) {
    let all = [Compression::Gzip, Compression::Bzip2, Compression::Zstd, Compression::Xz];
    let compression = all[usize::from(choice) % all.len()];
    let texts: Vec<&[u8]> = texts.split(|&byte| byte == b'|').take(4).collect();
    let (mut archive, mut ends) = (Vec::new(), vec![0]);
    for text in &texts {
        archive.extend(packed(compression, text).expect("memory can be written"));
        ends.push(archive.len());
    }
    fs::write(&*PATH, &archive).expect("memory can be written");
    let (seen, mut source) = file::open(&PATH).expect("it is there");
    assert_eq!(seen, compression);
    let mut unpacked = Vec::new();
    source.read_to_end(&mut unpacked).expect("nothing was cut");
    assert_eq!(unpacked, texts.concat());
    let cut = usize::from(cut) % archive.len();
    // Between two members nobody can tell; and without its first bytes it is no archive.
    if cut > 6 && !ends.contains(&cut) {
        fs::write(&*PATH, &archive[..cut]).expect("memory can be written");
        assert!(file::verify(&PATH, &|| false).is_err(), "{compression:?} cut at {cut} of {}", archive.len());
    }
}

fuzz_target!(|bytes: &[u8]| match bytes {
    [b'+', choice, low, high, texts @ ..] => members(*choice, u16::from_le_bytes([*low, *high]), texts),
    bytes => any_bytes(bytes),
});

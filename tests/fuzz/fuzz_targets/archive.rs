//! Compressed files: any bytes are read or refused; what was compressed comes out again; what was cut never ends in silence.
#![no_main]

use std::fs;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use log_analytics::file::{self, Compression, PrefixHasher, ReadError, Source};

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
fn lines(source: &Source) -> Option<Result<Vec<(u64, Vec<u8>)>, ReadError>> {
    let mut lines = match file::lines(source, PrefixHasher::default()) {
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
    let source = Source::open(&PATH).expect("it is there");
    let Some(read) = lines(&source) else { return };
    let proof = source.prove(&|| false, |_| Some(u64::MAX));
    match read {
        Ok(all) => {
            assert!(source.verify(&|| false).is_ok());
            let end = proof.expect("it was read to its end").at;
            assert!(all.last().is_none_or(|(offset, _)| *offset < end));
        }
        Err(_) => assert!(source.verify(&|| false).is_err() && proof.is_err()),
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
    let source = Source::open(&PATH).expect("it is there");
    assert!(source.is_packed());
    let mut unpacked = Vec::new();
    source.bytes().expect("nothing was cut").read_to_end(&mut unpacked).expect("nothing was cut");
    assert_eq!(unpacked, texts.concat());
    let cut = usize::from(cut) % archive.len();
    // Between two members nobody can tell; and without its first bytes it is no archive.
    if cut > 6 && !ends.contains(&cut) {
        fs::write(&*PATH, &archive[..cut]).expect("memory can be written");
        let source = Source::open(&PATH).expect("it is there");
        assert!(source.verify(&|| false).is_err(), "{compression:?} cut at {cut} of {}", archive.len());
    }
}

fuzz_target!(|bytes: &[u8]| match bytes {
    [b'+', choice, low, high, texts @ ..] => members(*choice, u16::from_le_bytes([*low, *high]), texts),
    bytes => any_bytes(bytes),
});

//! Encodings of log files, by the names that Python gives them.

use std::borrow::Cow;

use encoding_rs::Encoding;

/// How the bytes of a line become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    /// UTF-8 and ASCII: bytes that are neither come through as they are.
    Utf8,
    /// ISO 8859-1: each byte is the character of its number. What browsers call so is Windows' code page 1252.
    Latin1,
    /// Any other.
    Other(&'static Encoding),
}

impl TextEncoding {
    /// The encoding of a name; `None` if nobody knows it, or if its lines do not end as lines of ASCII do.
    pub fn named(label: &str) -> Option<Self> {
        Some(match &*label.to_ascii_lowercase().replace('_', "-") {
            "ascii" | "us-ascii" | "646" => Self::Utf8,
            "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "8859" | "cp819" | "l1" => Self::Latin1,
            label => match Encoding::for_label(label.as_bytes())? {
                encoding if encoding == encoding_rs::UTF_8 => Self::Utf8,
                encoding if encoding.is_ascii_compatible() => Self::Other(encoding),
                _ => return None,
            },
        })
    }

    /// The line as UTF-8, where it has to be made so.
    pub fn decode<'l>(self, line: &'l [u8]) -> Option<Cow<'l, str>> {
        match self {
            Self::Utf8 => None,
            Self::Latin1 => Some(encoding_rs::mem::decode_latin1(line)),
            Self::Other(encoding) => Some(encoding.decode_without_bom_handling(line).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_they_mean_in_python() {
        let read = |label: &str| TextEncoding::named(label).unwrap().decode(b"a\x82\xe9").map(Cow::into_owned);
        assert_eq!(read("latin1").as_deref(), Some("a\u{82}é"));
        assert_eq!(read("ISO_8859-1").as_deref(), Some("a\u{82}é"));
        assert_eq!(read("cp1252").as_deref(), Some("a‚é"));
        assert_eq!(read("ascii"), None);
        assert_eq!(read("utf8"), None);
        assert_eq!(read("koi8_r").as_deref(), Some("a┌И"));
        assert!(["klingon", "utf-16", "iso-2022-jp"].iter().all(|label| TextEncoding::named(label).is_none()));
    }
}

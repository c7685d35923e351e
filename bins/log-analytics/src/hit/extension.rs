//! File types by their extension: downloads, known downloads, static files.

use rustc_hash::FxHashMap;

use super::options::HitOptions;

const STATIC: &str = "gif jpg jpeg png bmp ico svg svgz ttf otf eot woff woff2 class swf css js xml webp";

const DOWNLOADS: &str = "7z aac arc arj asf asx avi bin csv deb dmg doc docx exe flac flv gz gzip hqx ibooks jar json \
    mpg mp2 mp3 mp4 mpeg mov movie msi msp odb odf odg odp ods odt ogg ogv pdf phps ppt pptx qt qtm ra ram rar rpm rtf \
    sea sit tar tbz bz2 tgz torrent txt wav webm wma wmv wpd xls xlsx xml xsd z zip azw3 epub mobi apk md5 sig";

/// With one more byte in front, as many as fit into a number.
const SHORT_BYTES_MAX: usize = 7;

/// What an extension says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Kind {
    /// Counts as a download.
    pub(super) download: bool,
    /// Is a download unless `--download-extensions` says otherwise.
    pub(super) known_download: bool,
    /// Is a static file.
    pub(super) is_static: bool,
}

/// All extensions that mean something.
#[derive(Debug)]
pub(super) struct Extensions {
    /// Extensions of up to [`SHORT_BYTES_MAX`] bytes, packed into a number.
    short: FxHashMap<u64, Kind>,
    /// The others, which only options can bring in.
    long: Vec<(Vec<u8>, Kind)>,
}

impl Extensions {
    /// The built-in lists with the changes the options ask for.
    pub(super) fn new(options: &HitOptions) -> Self {
        let mut all = Self { short: FxHashMap::default(), long: Vec::new() };
        for extension in STATIC.split_whitespace() {
            all.entry(extension).is_static = true;
        }
        for extension in DOWNLOADS.split_whitespace() {
            let kind = all.entry(extension);
            kind.known_download = true;
            kind.download = options.download_extensions.is_none();
        }
        for extension in options.download_extensions.iter().flatten() {
            all.entry(&extension.to_lowercase()).download = true;
        }
        for extension in &options.add_download_extensions {
            let kind = all.entry(&extension.to_lowercase());
            kind.download = true;
            kind.known_download = true;
        }
        all
    }

    /// What the end of `path`, behind its last dot, says. Without a dot the whole path counts.
    pub(super) fn kind(&self, path: &[u8]) -> Kind {
        let end = &path[path.len().saturating_sub(SHORT_BYTES_MAX + 1)..];
        let short = match end.iter().rposition(|byte| *byte == b'.') {
            Some(dot) => &end[dot + 1..],
            // All of it, if it is as short as an extension.
            None => end,
        };
        match pack(short) {
            Some(packed) => self.short.get(&packed).copied().unwrap_or_default(),
            None if self.long.is_empty() => Kind::default(),
            None => self.long_kind(path),
        }
    }

    #[cold]
    fn long_kind(&self, path: &[u8]) -> Kind {
        let extension = memchr::memrchr(b'.', path).map_or(path, |dot| &path[dot + 1..]);
        let known = self.long.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
        known.map_or(Kind::default(), |(_, kind)| *kind)
    }

    fn entry(&mut self, extension: &str) -> &mut Kind {
        match pack(extension.as_bytes()) {
            Some(packed) => self.short.entry(packed).or_default(),
            None => {
                let known = self.long.iter().position(|(known, _)| known == extension.as_bytes());
                let at = known.unwrap_or_else(|| {
                    self.long.push((extension.as_bytes().to_vec(), Kind::default()));
                    self.long.len() - 1
                });
                &mut self.long[at].1
            }
        }
    }
}

/// A short extension, lower-cased, as one number; the 1 in front of it tells how long it is.
fn pack(extension: &[u8]) -> Option<u64> {
    let append = |packed, byte: &u8| packed << 8 | u64::from(byte.to_ascii_lowercase());
    (extension.len() <= SHORT_BYTES_MAX).then(|| extension.iter().fold(1, append))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(options: &HitOptions, path: &str) -> (bool, bool, bool) {
        let kind = Extensions::new(options).kind(path.as_bytes());
        (kind.download, kind.known_download, kind.is_static)
    }

    #[test]
    fn the_built_in_lists_know_case_and_the_last_dot() {
        let options = HitOptions::default();
        assert_eq!(kinds(&options, "/a/report.PDF"), (true, true, false));
        assert_eq!(kinds(&options, "/a.tar.gz"), (true, true, false));
        assert_eq!(kinds(&options, "/img/Logo.SVG"), (false, false, true));
        assert_eq!(kinds(&options, "/feed.xml"), (true, true, true));
        assert_eq!(kinds(&options, "zip"), (true, true, false));
        for page in ["/zip", "/", "", "/a.zip/", "/a.pdf;jsessionid=1", "/a.pdf%20", "/a.", "/a.verylongextension"] {
            assert_eq!(kinds(&options, page), (false, false, false), "{page}");
        }
    }

    #[test]
    fn a_list_of_ones_own_replaces_or_adds() {
        let replaced = HitOptions { download_extensions: Some(vec!["csv".into()]), ..HitOptions::default() };
        assert_eq!(kinds(&replaced, "/a.csv"), (true, true, false));
        assert_eq!(kinds(&replaced, "/a.pdf"), (false, true, false));
        let added =
            HitOptions { add_download_extensions: vec!["HTML".into(), "dots/page".into()], ..HitOptions::default() };
        assert_eq!(kinds(&added, "/a.html"), (true, true, false));
        assert_eq!(kinds(&added, "/dir.with.dots/page"), (true, true, false));
        assert_eq!(kinds(&added, "/a.pdf"), (true, true, false));
    }
}

//! The Matomo site a hit goes to.

use super::json;

/// A Matomo site, as far as hits need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    id: u32,
    main_url: String,
    id_text: String,
    scheme_end: Option<usize>,
    plain: bool,
}

impl Site {
    /// A site with the main address Matomo knows for it. When sites are found by host, the address is `http://` and
    /// the host.
    #[must_use]
    pub fn new(id: u32, main_url: &str) -> Self {
        Self {
            id,
            main_url: main_url.to_owned(),
            id_text: id.to_string(),
            scheme_end: main_url.find("://"),
            plain: json::is_plain(main_url.as_bytes()),
        }
    }

    /// Matomo's number of the site.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Main address of the site.
    #[must_use]
    pub fn main_url(&self) -> &str {
        &self.main_url
    }

    /// The number as text, as hits carry it.
    pub(super) fn id_text(&self) -> &[u8] {
        self.id_text.as_bytes()
    }

    /// Whether JSON takes the main address as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.plain
    }

    /// Scheme of the main address; `http` if it has none.
    pub(super) fn scheme(&self) -> &[u8] {
        self.scheme_end.map_or(b"http", |end| &self.main_url.as_bytes()[..end])
    }
}

//! A built-in pattern, compiled when the first line needs it: most files never do.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::field::Draft;
use super::pattern::Pattern;

/// Patterns of ours that some line has needed: compiling one takes as long as reading thousands of lines by it, and a site
/// may have thousands of files. There are about ten.
static COMPILED: Mutex<BTreeMap<&'static str, Option<Pattern>>> = Mutex::new(BTreeMap::new());

/// A pattern and, once needed, its compiled form.
pub struct Exact {
    source: Cow<'static, str>,
    /// Tried once: a pattern too large to compile stays so, and each try takes longer than a file of lines.
    compiled: OnceCell<Option<Pattern>>,
}

impl Exact {
    /// Nothing is compiled yet.
    pub fn new(source: impl Into<Cow<'static, str>>) -> Self {
        Self { source: source.into(), compiled: OnceCell::new() }
    }

    /// The fields of a line, if it matches.
    pub fn read<'l>(&mut self, line: &'l [u8]) -> Option<Draft<'l>> {
        self.compiled.get_or_init(|| match &self.source {
            Cow::Borrowed(ours) => compiled(ours),
            // Columns of a W3C header; what of them is an operator's is checked at the start.
            Cow::Owned(of_a_file) => Pattern::new(of_a_file).ok(),
        });
        self.compiled.get_mut()?.as_mut()?.read(line)
    }
}

/// A pattern of ours, compiled unless it was before. The sources are constants, which tests compile.
fn compiled(ours: &'static str) -> Option<Pattern> {
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(ours).or_insert_with(|| Pattern::new(ours).ok()).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_kept(source: &str) -> bool {
        COMPILED.lock().unwrap().contains_key(source)
    }

    #[test]
    fn a_pattern_of_ours_is_compiled_once_and_one_of_a_file_dies_with_it() {
        let ours = "(?P<ip>.*) of ours";
        assert!(!is_kept(ours));
        assert!((0..2).all(|_| Exact::new(ours).read(b"192.0.2.1 of ours").is_some()));
        assert!(is_kept(ours));
        assert!(Exact::new("(?P<ip>.*) of a file".to_owned()).read(b"192.0.2.1 of a file").is_some());
        assert!(!is_kept("(?P<ip>.*) of a file"));
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_tried_once() {
        let mut exact = Exact::new(r"(?P<ip>\S{9}{9}{9}{9}{9}{9}{9}{9}{9})");
        assert!(exact.read(b"192.0.2.1").is_none());
        assert!(matches!(exact.compiled.get(), Some(None)));
    }
}

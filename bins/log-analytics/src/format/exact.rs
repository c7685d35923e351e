//! A built-in pattern, compiled when the first line needs it: most files never do.

use std::borrow::Cow;

use super::field::Draft;
use super::pattern::Pattern;

/// A pattern of ours and, once needed, its compiled form.
pub struct Exact {
    source: Cow<'static, str>,
    compiled: Option<Pattern>,
}

impl Exact {
    /// Nothing is compiled yet.
    pub fn new(source: impl Into<Cow<'static, str>>) -> Self {
        Self { source: source.into(), compiled: None }
    }

    /// The fields of a line, if it matches.
    pub fn read<'l>(&mut self, line: &'l [u8]) -> Option<Draft<'l>> {
        if self.compiled.is_none() {
            // The sources are constants, which tests compile, and operators' patterns, which are checked at the start.
            self.compiled = Pattern::new(&self.source).ok();
        }
        self.compiled.as_mut()?.read(line)
    }
}

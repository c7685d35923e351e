//! Texts that a program must not tell: a password of its command line, repeated in an error.

use std::borrow::Cow;

use crate::secret::HIDDEN;

/// The texts, the longest first, so that one within another is hidden with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden(Vec<String>);

impl Hidden {
    pub(super) fn new(texts: impl IntoIterator<Item = String>) -> Self {
        let mut texts: Vec<String> = texts.into_iter().filter(|text| !text.is_empty()).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Self(texts)
    }

    /// A line without them. One that is cut into pieces may hide half of a text in each.
    pub(super) fn over<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        let mut shown = Cow::Borrowed(line);
        for text in &self.0 {
            let mut from = 0;
            while let Some(at) = place(&shown[from..], text.as_bytes()) {
                let at = from + at;
                shown.to_mut().splice(at..at + text.len(), HIDDEN.bytes());
                from = at + HIDDEN.len();
            }
        }
        shown
    }
}

fn place(line: &[u8], text: &[u8]) -> Option<usize> {
    line.windows(text.len()).position(|window| window == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_042_texts_are_hidden_wherever_they_stand() {
        let hidden = Hidden::new(["hush".to_owned(), "hush hush".to_owned(), String::new()]);
        let over = |line: &str| String::from_utf8(hidden.over(line.as_bytes()).into_owned()).unwrap();
        assert_eq!(over("a hush, b hush hush"), "a (hidden), b (hidden)");
        assert_eq!(over("hushhush"), "(hidden)(hidden)");
        assert_eq!(over("hus"), "hus");
    }
}

//! Whether a text is one rsync, whose exit code tells how it went, or more than that.

use shared::veil::{Kind, tokens};

/// What a text consists of, as far as its exit code does not tell how its rsyncs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// One command and nothing around it: its exit code is the text's.
    pub is_plain: bool,
    /// `&&`, or `set -e`: one that fails keeps those behind it from running.
    pub may_be_cut: bool,
    /// `||`: what stands behind may make up for a failure.
    pub may_make_up: bool,
    /// An rsync is named by its path, so that it runs without our knowing.
    pub names_path: bool,
}

impl Chain {
    /// Reads a text.
    pub fn of(text: &str) -> Self {
        let tokens = tokens(text);
        let joints =
            || tokens.all.iter().filter(|token| token.kind == Kind::Joint).map(|token| &text[token.span.clone()]);
        let words = || {
            tokens.all.iter().filter_map(|token| match &token.kind {
                Kind::Word(word) => Some(word.text.as_str()),
                _ => None,
            })
        };
        let sets = words().zip(words().skip(1)).any(|(word, next)| word == "set" && next.starts_with("-e"));
        let is_one = tokens.all.iter().all(|token| matches!(token.kind, Kind::Word(_) | Kind::Redirect));
        Self {
            is_plain: is_one && tokens.doubt.is_none(),
            may_be_cut: sets || joints().any(|joint| joint == "&&"),
            may_make_up: joints().any(|joint| joint == "||"),
            names_path: words().any(|word| word.ends_with("/rsync") && word.starts_with('/')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rsync_is_plain_and_more_is_not() {
        for text in ["rsync a b", "X=1 timeout 5 rsync a b > f 2>&1", "sshpass -p x /usr/bin/rsync a b"] {
            assert!(Chain::of(text).is_plain, "{text}");
        }
        for text in
            ["rsync a b && c", "rsync a b | tee c", "rsync a b; c", "rsync a $(b)", "for i in 1; do rsync a; done"]
        {
            assert!(!Chain::of(text).is_plain, "{text}");
        }
        assert!(Chain::of("a && b").may_be_cut && Chain::of("set -e; a").may_be_cut && !Chain::of("a | b").may_be_cut);
        assert!(Chain::of("a || b").may_make_up && !Chain::of("a && b").may_make_up);
        assert!(Chain::of("a && /usr/bin/rsync b c").names_path && !Chain::of("rsync h:/x/rsync c").names_path);
    }
}

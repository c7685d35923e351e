//! What anybody may read of a text that an operator wrote and that may hold secrets: commands for a shell, options.
//!
//! No list of what looks like a secret is ever complete, so it is the other way round: what is known to be harmless is
//! shown, all else is `(hidden)`. Where programs repeat such a text, a [`Veil`] knows the secrets in it.

mod display;
mod harmless;
mod options;
pub mod rsync;
mod secret;
mod token;

pub use display::shown;
pub use options::options;
pub use secret::{Veil, password};
pub use token::{Kind, OPEN_QUOTE, Token, Tokens, Word, tokens, words};

use crate::secret::HIDDEN;

/// Shorter pieces are words of every sentence.
const PIECE_CHARS_MIN: usize = 4;

/// A sentence about a text, without the pieces of the text that are not in what is `shown` of it, nor their beginnings.
pub(crate) fn over_sentence(sentence: &str, text: &str, shown: &str) -> String {
    let mut pieces: Vec<&str> = text.split(|c: char| c.is_whitespace() || "='\"`".contains(c)).collect();
    pieces.retain(|piece| piece.chars().count() >= PIECE_CHARS_MIN && !shown.contains(piece));
    pieces.sort_by_key(|piece| std::cmp::Reverse(piece.len()));
    pieces.into_iter().fold(sentence.to_owned(), |sentence, piece| match longest_beginning(&sentence, piece) {
        Some(beginning) => sentence.replace(beginning, HIDDEN),
        None => sentence,
    })
}

/// A sentence may repeat a piece cut short.
fn longest_beginning<'a>(sentence: &str, piece: &'a str) -> Option<&'a str> {
    let ends = piece.char_indices().map(|(at, c)| at + c.len_utf8()).skip(PIECE_CHARS_MIN - 1);
    ends.map(|end| &piece[..end]).take_while(|beginning| sentence.contains(beginning)).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_about_a_text_repeats_nothing_that_is_hidden() {
        let text = "--token-auth=s3cretvalue --nonsense";
        let shown = options(text, &[]);
        assert_eq!(shown, "--token-auth=(hidden) --nonsense");
        for (sentence, expected) in [
            (
                "unexpected argument '--token-auth=s3cretvalue' found",
                "unexpected argument '--token-auth=(hidden)' found",
            ),
            ("nothing closes the ' before `s3cret", "nothing closes the ' before `(hidden)"),
            ("unexpected argument '--nonsense' found", "unexpected argument '--nonsense' found"),
        ] {
            assert_eq!(over_sentence(sentence, text, &shown), expected);
        }
    }
}

//! A text split into words as a shell does it, without expanding anything.

/// Characters of the text shown behind an open quote.
const SHOWN_MAX: usize = 40;

/// A quote that nothing closes, so that nobody can tell where the words end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing closes the {quote} before `{rest}`")]
pub struct OpenQuote {
    /// The quote.
    pub quote: char,
    /// What follows it, shortened.
    pub rest: String,
}

/// The words of `text`: blanks separate them, quotes keep blanks, a backslash keeps the next character (between
/// double quotes only before `"`, `\`, `$` and a backtick).
///
/// # Errors
/// When a quote stays open.
pub fn words(text: &str) -> Result<Vec<String>, OpenQuote> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            blank if blank.is_whitespace() => words.extend(word.take()),
            '\\' => word.get_or_insert_default().extend(rest.next()),
            quote @ ('"' | '\'') => {
                let inside = rest.as_str();
                quoted(quote, &mut rest, word.get_or_insert_default())
                    .ok_or_else(|| OpenQuote { quote, rest: inside.chars().take(SHOWN_MAX).collect() })?;
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

/// Takes everything up to the closing quote; none if there is no such.
fn quoted(quote: char, rest: &mut std::str::Chars<'_>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            character if character == quote => return Some(()),
            '\\' if quote == '"' => {
                let next = rest.next()?;
                if !matches!(next, '"' | '\\' | '$' | '`') {
                    word.push('\\');
                }
                word.push(next);
            }
            character => word.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, expected) in [
            ("", vec![]),
            ("  --a   --b=c\n--d ", vec!["--a", "--b=c", "--d"]),
            ("--a='x y' --b=\"p  q\"", vec!["--a=x y", "--b=p  q"]),
            (r#"a\ b "q\"\\\n" 'r\'"#, vec!["a b", r#"q"\\n"#, r"r\"]),
            ("'' \"\"", vec!["", ""]),
            ("$HOME *", vec!["$HOME", "*"]),
        ] {
            assert_eq!(words(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_open_quote_is_named() {
        let error = words("--a --b='never closed").unwrap_err().to_string();
        assert!(error.contains("nothing closes the ' before `never closed`"), "{error}");
    }
}

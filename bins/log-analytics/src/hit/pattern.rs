//! Shell patterns as Python's `fnmatch` reads them: `*` also matches `/`, `?` any one character, `[a-z]`, `[!a]`.
//!
//! One step back to the last `*` is all the backtracking there is, so a pattern costs at most text times pattern.

/// A compiled shell pattern. It matches a whole text, case-sensitively.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Anything,
    One,
    Character(u32),
    Class { negated: bool, ranges: Vec<(u32, u32)> },
}

impl Pattern {
    /// Any text is a pattern: a `[` that nothing closes stands for itself.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let mut tokens = Vec::new();
        let mut rest = &characters[..];
        while let Some((&first, after)) = rest.split_first() {
            let class = if first == '[' { class(after) } else { None };
            let (token, after) = match (first, class) {
                (_, Some(class)) => class,
                ('*', _) => (Token::Anything, after),
                ('?', _) => (Token::One, after),
                (character, _) => (Token::Character(u32::from(character)), after),
            };
            tokens.push(token);
            rest = after;
        }
        Self { tokens }
    }

    /// Whether the whole of `text` matches. A byte that is not UTF-8 is a character that only `?`, `*` and negated
    /// classes match.
    #[must_use]
    pub fn matches(&self, text: &[u8]) -> bool {
        let (mut at, mut token) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        loop {
            match self.tokens.get(token) {
                Some(Token::Anything) => {
                    retry = Some((at, token + 1));
                    token += 1;
                    continue;
                }
                Some(wanted) if at < text.len() => {
                    let (character, width) = character(&text[at..]);
                    if wanted.admits(character) {
                        at += width;
                        token += 1;
                        continue;
                    }
                }
                None if at == text.len() => return true,
                _ => {}
            }
            match &mut retry {
                Some((from, after)) if *from < text.len() => {
                    *from += character(&text[*from..]).1;
                    (at, token) = (*from, *after);
                }
                _ => return false,
            }
        }
    }
}

impl Token {
    fn admits(&self, character: u32) -> bool {
        match self {
            Self::Anything | Self::One => true,
            Self::Character(wanted) => *wanted == character,
            Self::Class { negated, ranges } => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&character)) != *negated
            }
        }
    }
}

/// The class behind a `[`, and what follows it; none if nothing closes it.
fn class(after: &[char]) -> Option<(Token, &[char])> {
    let negated = after.first() == Some(&'!');
    let body = &after[usize::from(negated)..];
    // A `]` right at the start is a member, not the end.
    let end = 1 + body.iter().skip(1).position(|&character| character == ']')?;
    Some((Token::Class { negated, ranges: ranges(&body[..end]) }, &body[end + 1..]))
}

fn ranges(mut members: &[char]) -> Vec<(u32, u32)> {
    let mut ranges = Vec::new();
    while let Some((&from, rest)) = members.split_first() {
        let (to, rest) = match rest {
            ['-', to, rest @ ..] => (*to, rest),
            _ => (from, rest),
        };
        ranges.push((u32::from(from), u32::from(to)));
        members = rest;
    }
    ranges
}

/// The first character of a text that is not empty, and its width in bytes. A byte that is not UTF-8 gets a number
/// no character has.
fn character(text: &[u8]) -> (u32, usize) {
    let first = text[0];
    if first.is_ascii() {
        return (u32::from(first), 1);
    }
    let sequence = &text[..text.len().min(4)];
    match sequence.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
        Some(character) => (u32::from(character), character.len_utf8()),
        None => (0xDC00 + u32::from(first), 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text.as_bytes())
    }

    #[test]
    fn stars_cross_slashes_and_question_marks_take_one_character() {
        assert!(matches("/admin/*", "/admin/a/b"));
        assert!(matches("*/admin/*", "/site/admin/"));
        assert!(!matches("/admin/*", "/admin"));
        assert!(matches("/v?", "/v6") && !matches("/v?", "/v"));
        assert!(matches("/caf?", "/café"));
        assert!(matches("*", "") && matches("", "") && !matches("", "a"));
        assert!(matches("a*b*c", "aXbYbZc") && !matches("a*b*c", "aXbYbZ"));
        assert!(!matches("/Admin", "/admin"));
        assert!(Pattern::new("/?").matches(b"/\xE9"));
        assert!(!Pattern::new("/é").matches(b"/\xE9"));
    }

    #[test]
    fn classes_have_ranges_negation_and_odd_members() {
        assert!(matches("/[a-d]*", "/cafe") && !matches("/[a-d]*", "/e"));
        assert!(matches("[!a]", "b") && !matches("[!a]", "a"));
        assert!(matches("[]]", "]") && matches("[!]]", "a") && !matches("[!]]", "]"));
        assert!(matches("[a-]", "-") && matches("[-a]", "-") && matches("[a-c-e]", "-") && matches("[a-c-e]", "e"));
        assert!(!matches("[a-c-e]", "d"));
        assert!(!matches("[z-a]", "m") && !matches("[z-a]", "z"));
        assert!(matches("[^a]", "^") && matches("[^a]", "a"));
        assert!(matches("[ä-ü]", "ö"));
        assert!(matches("[*]", "*") && !matches("[*]", "x"));
    }

    #[test]
    fn an_open_bracket_without_end_is_itself() {
        assert!(matches("/a[b", "/a[b") && !matches("/a[b", "/ab"));
        assert!(matches("[", "[") && matches("[!", "[!") && matches("[]", "[]"));
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = Pattern::new(&"*a".repeat(50));
        assert!(!pattern.matches("a".repeat(49).as_bytes()));
        assert!(!pattern.matches(format!("{}b", "a".repeat(20_000)).as_bytes()));
    }
}

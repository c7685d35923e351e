//! Words and operators of a shell text, with a note of everything that only a real shell understands.
//!
//! This is not a shell: it reads what nearly every list of rsync commands is made of, and says so when it meets more.

use std::ops::Range;

/// The doubt about a text in which a quote is opened and not closed.
pub const OPEN_QUOTE: &str = "a quote is never closed";

/// A word or an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it stands in the text.
    pub span: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A word, without its quotes; variables stay as they are written.
    Word(Word),
    /// `;` or the end of a line.
    End,
    /// `&&`, `||` or `|`: more of the same command follows, on the next line if need be.
    Joint,
    /// `<`, `>`, `>>`, `>&` and the like; the next word is a file or a descriptor.
    Redirect,
}

/// A word as the program would get it, apart from variables and patterns.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Word {
    /// Without quotes.
    pub text: String,
    /// Whether the shell puts the value of a variable into it.
    pub expands: bool,
    /// Whether a part of it is quoted.
    pub quoted: bool,
}

/// The tokens of a text, and the first reason to leave its meaning to a shell.
#[derive(Clone, Debug, Default)]
pub struct Tokens {
    /// In the order of the text; read as well as can be when there is a doubt.
    pub all: Vec<Token>,
    /// What was met that is not understood here.
    pub doubt: Option<&'static str>,
}

/// Reads a text.
pub fn tokens(text: &str) -> Tokens {
    let mut scanner = Scanner { text, at: 0, word: None, tokens: Tokens::default() };
    scanner.scan();
    scanner.tokens
}

/// The words of one simple command; `None` when it is anything but words.
pub fn words(text: &str) -> Option<Vec<String>> {
    let tokens = tokens(text);
    let words = tokens.all.into_iter().map(|token| match token.kind {
        Kind::Word(word) => Some(word.text),
        _ => None,
    });
    words.collect::<Option<Vec<_>>>().filter(|_| tokens.doubt.is_none())
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The word under way and where it began.
    word: Option<(usize, Word)>,
    tokens: Tokens,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        while let Some(c) = self.next() {
            let from = self.at - c.len_utf8();
            match c {
                ' ' | '\t' => self.end_word(from),
                '\n' => self.operator(from, Kind::End),
                ';' => {
                    if matches!(self.peek(), Some(';' | '&')) {
                        self.doubt("it has a `;;`");
                    }
                    self.operator(from, Kind::End);
                }
                '&' => self.ampersand(from),
                '|' => {
                    if self.peek() == Some('|') {
                        self.next();
                    }
                    self.operator(from, Kind::Joint);
                }
                '<' | '>' => self.redirect(from, c),
                '#' if self.word.is_none() => self.comment(),
                '\'' => self.single_quoted(from),
                '"' => self.double_quoted(from),
                '\\' => self.escaped(from),
                '$' => {
                    self.variable();
                    self.push(from, c, true);
                }
                '`' => {
                    self.doubt("it runs a command inside a command");
                    self.push(from, c, true);
                }
                '(' | ')' => {
                    self.doubt("it has parentheses");
                    self.operator(from, Kind::Joint);
                }
                '\0' | '\r' => {
                    self.doubt("it holds a control character");
                    self.push(from, c, false);
                }
                _ => self.push(from, c, false),
            }
        }
        self.end_word(self.at);
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn doubt(&mut self, why: &'static str) {
        self.tokens.doubt.get_or_insert(why);
    }

    fn push(&mut self, from: usize, c: char, expands: bool) {
        let (_, word) = self.word.get_or_insert_with(|| (from, Word::default()));
        word.text.push(c);
        word.expands |= expands;
    }

    fn quote(&mut self, from: usize) {
        self.word.get_or_insert_with(|| (from, Word::default())).1.quoted = true;
    }

    fn end_word(&mut self, at: usize) {
        if let Some((from, word)) = self.word.take() {
            self.tokens.all.push(Token { span: from..at, kind: Kind::Word(word) });
        }
    }

    fn operator(&mut self, from: usize, kind: Kind) {
        self.end_word(from);
        self.tokens.all.push(Token { span: from..self.at, kind });
    }

    fn ampersand(&mut self, from: usize) {
        if self.peek() == Some('&') {
            self.next();
        } else {
            self.doubt("it starts something in the background");
        }
        self.operator(from, Kind::Joint);
    }

    /// `2>&1`: the digits before belong to it, and so does the `&`.
    fn redirect(&mut self, from: usize, first: char) {
        let digits = self.word.take_if(|(_, word)| !word.quoted && word.text.bytes().all(|b| b.is_ascii_digit()));
        let from = digits.map_or(from, |(began, _)| began);
        let second = self.peek().filter(|c| matches!(c, '<' | '>' | '&' | '|'));
        if second.is_some() {
            self.next();
        }
        if first == '<' && matches!(second, Some('<')) {
            self.doubt("it holds a here-document");
        }
        self.operator(from, Kind::Redirect);
    }

    fn comment(&mut self) {
        while self.peek().is_some_and(|c| c != '\n') {
            self.next();
        }
    }

    fn single_quoted(&mut self, from: usize) {
        self.quote(from);
        while let Some(c) = self.next() {
            if c == '\'' {
                return;
            }
            self.push(from, c, false);
        }
        self.doubt(OPEN_QUOTE);
    }

    fn double_quoted(&mut self, from: usize) {
        self.quote(from);
        while let Some(c) = self.next() {
            match c {
                '"' => return,
                '\\' => match self.next() {
                    Some('\n') => {}
                    Some(escaped @ ('$' | '`' | '"' | '\\')) => self.push(from, escaped, false),
                    Some(other) => {
                        self.push(from, '\\', false);
                        self.push(from, other, false);
                    }
                    None => {}
                },
                '`' => {
                    self.doubt("it runs a command inside a command");
                    self.push(from, c, true);
                }
                '$' => {
                    self.variable();
                    self.push(from, c, true);
                }
                _ => self.push(from, c, false),
            }
        }
        self.doubt(OPEN_QUOTE);
    }

    fn escaped(&mut self, from: usize) {
        match self.next() {
            // The line goes on.
            Some('\n') => {}
            Some(c) => {
                self.quote(from);
                self.push(from, c, false);
            }
            None => self.doubt("it ends in a backslash"),
        }
    }

    /// A `$` was read. A plain variable comes from the environment and is the same in every shell; what begins with
    /// anything else depends on what this shell did before.
    fn variable(&mut self) {
        let rest = &self.text[self.at..];
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let of_the_shell = ["_", "LINENO", "RANDOM", "SECONDS", "OPTIND", "PIPESTATUS", "SRANDOM", "EPOCHREALTIME"];
        match rest.chars().next() {
            Some('(') => self.doubt("it runs a command inside a command"),
            Some('{') => self.doubt("it has a `${`"),
            Some('?' | '!' | '$' | '-' | '*' | '@' | '#' | '0'..='9' | '\'' | '"' | '[') => {
                self.doubt("it asks for something that only the same shell knows");
            }
            _ if of_the_shell.contains(&name.as_str()) => {
                self.doubt("it asks for something that only the same shell knows");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let words = tokens(text).all.into_iter().filter_map(|token| match token.kind {
            Kind::Word(word) => Some(word.text),
            _ => None,
        });
        words.collect()
    }

    #[test]
    fn quotes_belong_to_no_word() {
        assert_eq!(
            words(r#"rsync -e "ssh -p 2222" a\ b 'c;d' "e\"f" g'h'"i""#),
            ["rsync", "-e", "ssh -p 2222", "a b", "c;d", "e\"f", "ghi"]
        );
        assert_eq!(words("a # b ; c\nd#e"), ["a", "d#e"]);
        assert_eq!(words("a \\\n b"), ["a", "b"]);
    }

    #[test]
    fn spans_cover_the_words_as_written() {
        let text = "a 'b c' 2>&1; d";
        let spans: Vec<&str> = tokens(text).all.iter().map(|token| &text[token.span.clone()]).collect();
        assert_eq!(spans, ["a", "'b c'", "2>&", "1", ";", "d"]);
    }
}

//! The tokens of a dump, as server and client cut them: strings, names, words, signs; comments left out, and what stands in
//! comments that servers execute (`/*!40101 … */`) taken for what it is.

use std::fmt;

/// No word or name of a dump is longer; what is kept of a string.
const TOKEN_BYTES_MAX: usize = 256;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word or number, in small letters.
    Word(String),
    /// A name between backticks.
    Name(String),
    /// The beginning of a string, without its quotes and with its escapes.
    Text(String),
    /// Any other sign.
    Sign(char),
    /// `;`
    End,
}

impl Token {
    /// Whether it is this bare word, or this sign.
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Token::Word(found) => found == word,
            Token::Sign(sign) => word.len() == 1 && word.starts_with(*sign),
            _ => false,
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(word) => write!(f, "{}", word.escape_debug()),
            Token::Name(name) => write!(f, "`{}`", name.escape_debug()),
            // It may be a password.
            Token::Text(_) => f.write_str("'…'"),
            Token::Sign(sign) => write!(f, "{}", sign.escape_debug()),
            Token::End => f.write_str(";"),
        }
    }
}

/// Where in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Within {
    #[default]
    Nothing,
    Word,
    /// Between these quotes; behind a backslash; behind a quote that may be one of two.
    Quoted {
        quote: u8,
        escaped: bool,
        ended: bool,
    },
    Slash,
    /// Behind `/*`, before it is known what kind of comment it is: how much of `M!` was read.
    CommentHead(u8),
    /// The number behind `/*!`.
    Version,
    Comment {
        star: bool,
    },
    Star,
    Dash,
    /// Behind `--`: a comment if a blank follows.
    Dashes,
    Line,
}

/// Cuts a text that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Lexer {
    within: Within,
    token: Vec<u8>,
    /// Within a comment that servers execute.
    executed: bool,
}

impl Lexer {
    /// Whether something is open at the end of the text.
    pub(super) fn is_open(&self) -> bool {
        self.executed || !matches!(self.within, Within::Nothing | Within::Line)
    }

    /// Takes the next bytes and gives each token when it is complete.
    pub(super) fn feed(&mut self, bytes: &[u8], mut give: impl FnMut(Token)) {
        let mut at = 0;
        while at < bytes.len() {
            // The inside of a string is most of a dump.
            if let Within::Quoted { quote, escaped: false, ended: false } = self.within {
                let plain = memchr::memchr3(quote, b'\\', b'*', &bytes[at..]).unwrap_or(bytes.len() - at);
                self.keep(&bytes[at..at + plain]);
                at += plain;
                if at == bytes.len() {
                    return;
                }
            }
            if self.byte(bytes[at], &mut give) {
                at += 1;
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = TOKEN_BYTES_MAX.saturating_sub(self.token.len()).min(bytes.len());
        self.token.extend_from_slice(&bytes[..room]);
    }

    fn taken(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.token).into_owned();
        self.token.clear();
        text
    }

    /// Takes a byte, or says that it has to be looked at again as the first of something else.
    fn byte(&mut self, byte: u8, give: &mut impl FnMut(Token)) -> bool {
        match self.within {
            Within::Nothing => self.begin(byte, give),
            Within::Word if is_of_word(byte) => self.keep(&[byte]),
            Within::Word => {
                let word = self.taken().to_ascii_lowercase();
                return self.again(give, Token::Word(word));
            }
            Within::Quoted { quote, escaped, ended } => return self.quoted(byte, (quote, escaped, ended), give),
            Within::Slash if byte == b'*' => self.within = Within::CommentHead(0),
            Within::Slash => return self.again(give, Token::Sign('/')),
            Within::CommentHead(read) => return self.comment_head(byte, read, give),
            Within::Version => return self.version(byte),
            Within::Comment { star } => match byte {
                b'/' if star => self.within = Within::Nothing,
                _ => self.within = Within::Comment { star: byte == b'*' },
            },
            Within::Star if byte == b'/' && self.executed => {
                (self.executed, self.within) = (false, Within::Nothing);
            }
            Within::Star => return self.again(give, Token::Sign('*')),
            Within::Dash if byte == b'-' => self.within = Within::Dashes,
            Within::Dash => return self.again(give, Token::Sign('-')),
            Within::Dashes if byte == b'\n' => self.within = Within::Nothing,
            Within::Dashes if byte.is_ascii_whitespace() || byte.is_ascii_control() => self.within = Within::Line,
            Within::Dashes => {
                give(Token::Sign('-'));
                return self.again(give, Token::Sign('-'));
            }
            Within::Line if byte == b'\n' => self.within = Within::Nothing,
            Within::Line => {}
        }
        true
    }

    fn again(&mut self, give: &mut impl FnMut(Token), token: Token) -> bool {
        self.within = Within::Nothing;
        give(token);
        false
    }

    fn begin(&mut self, byte: u8, give: &mut impl FnMut(Token)) {
        match byte {
            b'\'' | b'"' | b'`' => self.within = Within::Quoted { quote: byte, escaped: false, ended: false },
            b'/' => self.within = Within::Slash,
            b'*' => self.within = Within::Star,
            b'-' => self.within = Within::Dash,
            b'#' => self.within = Within::Line,
            b';' => give(Token::End),
            _ if byte.is_ascii_whitespace() => {}
            _ if is_of_word(byte) => {
                self.keep(&[byte]);
                self.within = Within::Word;
            }
            _ => give(Token::Sign(char::from(byte))),
        }
    }

    fn quoted(&mut self, byte: u8, (quote, escaped, ended): (u8, bool, bool), give: &mut impl FnMut(Token)) -> bool {
        let within = |escaped, ended| Within::Quoted { quote, escaped, ended };
        match byte {
            _ if ended && byte == quote => self.within = within(false, false),
            _ if ended => {
                let text = self.taken();
                return self.again(give, if quote == b'`' { Token::Name(text) } else { Token::Text(text) });
            }
            _ if escaped => self.within = within(false, false),
            b'\\' if quote != b'`' => self.within = within(true, false),
            _ if byte == quote => {
                self.within = within(false, true);
                return true;
            }
            // A server that skips this comment would end it in the middle of our string.
            b'*' if self.executed => give(Token::Sign('*')),
            _ => {}
        }
        self.keep(&[byte]);
        true
    }

    /// `/*!` and `/*M!` begin what servers execute; anything else is a comment.
    fn comment_head(&mut self, byte: u8, read: u8, give: &mut impl FnMut(Token)) -> bool {
        match (byte, read) {
            (b'M', 0) => self.within = Within::CommentHead(1),
            (b'!', _) if !self.executed => self.within = Within::Version,
            _ => {
                // One comment within another ends where the server's version wants it to.
                if self.executed {
                    give(Token::Sign('*'));
                }
                self.within = Within::Comment { star: false };
                return false;
            }
        }
        true
    }

    /// Version 99.99.99 is that of no server: the client's own mark for its sandbox mode.
    fn version(&mut self, byte: u8) -> bool {
        if byte.is_ascii_digit() {
            self.keep(&[byte]);
            return true;
        }
        let is_none = self.taken() == "999999";
        self.executed = !is_none;
        self.within = if is_none { Within::Comment { star: false } } else { Within::Nothing };
        false
    }
}

/// What a bare word consists of; a number is one, too.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

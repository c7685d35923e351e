//! Where a list of shell commands may be cut so that each runs in a shell of its own and nothing changes its meaning.

use shared::veil::{Kind, Token, Word, tokens};

/// The commands of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// Each may run in its own shell.
    Pieces(Vec<String>),
    /// Only one shell for all of it is sure to do what is meant.
    Whole(&'static str),
}

/// Words that begin or end something longer, or change the shell in which the next command runs.
const NOT_ALONE: &[&str] = &[
    "!",
    "{",
    "}",
    "[[",
    "]]",
    "if",
    "then",
    "else",
    "elif",
    "fi",
    "do",
    "done",
    "case",
    "esac",
    "while",
    "until",
    "for",
    "in",
    "function",
    "select",
    "time",
    "coproc", // reserved
    ".",
    ":",
    "alias",
    "bg",
    "bind",
    "break",
    "builtin",
    "caller",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "continue",
    "declare",
    "dirs",
    "disown",
    "enable",
    "eval",
    "exec",
    "exit",
    "export",
    "fc",
    "fg",
    "getopts",
    "hash",
    "history",
    "jobs",
    "kill",
    "let",
    "local",
    "logout",
    "mapfile",
    "newgrp",
    "popd",
    "printf",
    "pushd",
    "read",
    "readarray",
    "readonly",
    "return",
    "set",
    "shift",
    "shopt",
    "source",
    "suspend",
    "times",
    "trap",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unset",
    "wait", // of the shell itself
];

/// Cuts at `;` and line ends outside quotes, or says why not.
pub fn split(text: &str) -> Split {
    let tokens = tokens(text);
    if let Some(why) = tokens.doubt {
        return Split::Whole(why);
    }
    let mut pieces = Vec::new();
    let mut piece: Vec<&Token> = Vec::new();
    for token in &tokens.all {
        let goes_on = matches!(piece.last().map(|last| &last.kind), Some(Kind::Joint));
        match token.kind {
            Kind::End if goes_on && &text[token.span.clone()] == "\n" => {}
            Kind::End => pieces.push(std::mem::take(&mut piece)),
            _ => piece.push(token),
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    match pieces.iter().find_map(|piece| doubt(piece)) {
        Some(why) => Split::Whole(why),
        None => Split::Pieces(pieces.iter().filter_map(|piece| written(text, piece)).collect()),
    }
}

/// The text of a piece, from its first to its last token. Comments in between stay; those around are dropped.
fn written(text: &str, piece: &[&Token]) -> Option<String> {
    let (first, last) = (piece.first()?, piece.last()?);
    Some(text[first.span.start..last.span.end].to_owned())
}

/// Why a piece may not run alone.
fn doubt(piece: &[&Token]) -> Option<&'static str> {
    piece.split(|token| token.kind == Kind::Joint).find_map(doubt_about_command)
}

fn doubt_about_command(command: &[&Token]) -> Option<&'static str> {
    let mut words = command.iter().map(|token| match &token.kind {
        Kind::Word(word) => Some(word),
        _ => None,
    });
    let name = loop {
        match words.next() {
            Some(Some(word)) if is_assignment(word) => {}
            Some(Some(word)) => break word,
            Some(None) => return Some("a command begins with a redirection"),
            None if command.is_empty() => return Some("a command is missing"),
            None => return Some("it sets a variable"),
        }
    };
    if name.expands {
        return Some("the name of a command is in a variable");
    }
    NOT_ALONE.contains(&name.text.as_str()).then_some("a command changes the shell for those after it")
}

/// `NAME=value` in front of a command.
fn is_assignment(word: &Word) -> bool {
    let Some((name, _)) = word.text.split_once('=') else { return false };
    let name = name.strip_suffix('+').unwrap_or(name);
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

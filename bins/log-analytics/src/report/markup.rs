//! Text in HTML: whatever a file is called, it stays text.

use std::fmt::Write;

/// Text as it may stand between tags and in quoted attributes. Characters that cannot be seen, or that turn the
/// writing around, are written out.
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            hidden if is_hidden(hidden) => out.extend(hidden.escape_default()),
            seen => out.push(seen),
        }
    }
    out
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// An element with text in it.
pub fn element(out: &mut String, name: &str, class: &str, content: &str) {
    // Writing to a text cannot fail.
    let _ = write!(out, "<{name} class=\"{class}\">{}</{name}>", text(content));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_and_hidden_characters_become_text() {
        assert_eq!(text("<a href='x'>&\"</a>"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;&lt;/a&gt;");
        assert_eq!(text("a\u{202e}gol.\n\u{7}é"), "a\\u{202e}gol.\\n\\u{7}é");
    }
}

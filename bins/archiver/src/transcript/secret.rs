//! Tokens in Matomo's own output: its errors repeat the addresses that it asked, token included.

use shared::secret::HIDDEN;

const NAME: &str = "token_auth";

/// The text with the value of every `token_auth` hidden.
pub fn hide(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(NAME) {
        let (before, after) = rest.split_at(at + NAME.len());
        shown.push_str(before);
        let value = after.trim_start_matches(|c: char| !c.is_ascii_alphanumeric() && !"&,;".contains(c));
        let between = &after[..after.len() - value.len()];
        shown.push_str(between);
        rest = value.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
        if rest.len() < value.len() {
            shown.push_str(HIDDEN);
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_of_a_token_is_hidden_wherever_it_stands() {
        for (text, shown) in [
            ("?a=1&token_auth=0123abc&b=2", "?a=1&token_auth=(hidden)&b=2"),
            ("--token_auth '0123abc'", "--token_auth '(hidden)'"),
            (r#"{"token_auth": "0123"} and token_auth=9"#, r#"{"token_auth": "(hidden)"} and token_auth=(hidden)"#),
            ("token_auth=&a=1", "token_auth=&a=1"),
            ("no secret", "no secret"),
        ] {
            assert_eq!(hide(text), shown);
        }
    }
}

//! The body of a form.

/// Its content type.
pub const FORM: &str = "application/x-www-form-urlencoded";

/// The pairs as a form, percent-encoded but for the letters that mean nothing in one.
pub fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        encode(name, &mut form);
        form.push('=');
        encode(value, &mut form);
    }
    form
}

fn encode(text: &str, form: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => form.push(char::from(byte)),
            _ => form.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_form_is_encoded() {
        assert_eq!(form(&[("a", "b&c=d %"), ("e", "ü-_.~")]), "a=b%26c%3Dd%20%25&e=%C3%BC-_.~");
        assert_eq!(form(&[]), "");
    }
}

//! A hit as it arrived: the tracking parameters of one request, decoded.

use serde_json::{Map, Value};

/// One stored hit.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit(pub Map<String, Value>);

impl Hit {
    /// A parameter as text; numbers in decimals, absent or compound ones empty.
    pub fn text(&self, name: &str) -> String {
        match self.0.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => String::new(),
        }
    }

    /// `idsite`; 0 when it is no positive number.
    pub fn site(&self) -> u64 {
        self.text("idsite").parse().unwrap_or(0)
    }

    /// Who: the address, or the user when the log names one.
    pub fn visitor(&self) -> String {
        let user = self.text("uid");
        if user.is_empty() { self.text("cip") } else { user }
    }

    /// When: `cdt` as seconds since 1970, nothing when it is absent or unreadable.
    pub fn second(&self) -> Option<i64> {
        let text = self.text("cdt");
        let moment: jiff::civil::DateTime = text.parse().ok()?;
        Some(moment.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
    }

    /// Asks whether hits are welcome, and is stored nowhere: no `rec`, no `url`.
    pub fn is_probe(&self) -> bool {
        self.text("rec") != "1" && self.text("url").is_empty()
    }

    /// A `cid` that Matomo refuses: present, but not 16 hexadecimal digits.
    pub fn has_bad_visitor_id(&self) -> bool {
        let cid = self.text("cid");
        let readable = cid.len() == 16 && cid.bytes().all(|byte| byte.is_ascii_hexdigit());
        !cid.is_empty() && !readable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(json: &str) -> Hit {
        Hit(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn numbers_and_their_text_are_the_same() {
        assert_eq!(hit(r#"{"idsite": 4}"#).site(), 4);
        assert_eq!(hit(r#"{"idsite": "4"}"#).site(), 4);
        assert_eq!(hit(r#"{"idsite": "four"}"#).site(), 0);
    }

    #[test]
    fn the_second_is_read_with_and_without_a_fraction() {
        assert_eq!(hit(r#"{"cdt": "1970-01-02 00:00:01"}"#).second(), Some(86_401));
        assert_eq!(hit(r#"{"cdt": "1970-01-02 00:00:01.500000"}"#).second(), Some(86_401));
        assert_eq!(hit(r#"{"cdt": "yesterday"}"#).second(), None);
    }

    #[test]
    fn a_probe_has_neither_rec_nor_url() {
        assert!(hit(r#"{"rec": 0, "idsite": 1}"#).is_probe());
        assert!(!hit(r#"{"rec": "1"}"#).is_probe());
        assert!(!hit(r#"{"url": "http://x/"}"#).is_probe());
    }
}

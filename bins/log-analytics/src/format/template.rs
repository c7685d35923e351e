//! A log format as the web server's own configuration writes it (nginx `log_format`, Apache `LogFormat`), made into a
//! pattern with named groups.

use std::collections::BTreeSet;

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Apache's directives begin with `%`, nginx's variables with `$`; there is neither.
    #[error("it has neither variables of nginx ($status) nor directives of Apache (%>s)")]
    NothingNamed,
    /// A directive that stands for no text that can be read back.
    #[error("{directive} cannot be read back from a log")]
    Unreadable {
        /// As it stands in the template.
        directive: String,
    },
    /// Two fields with no text between them: nobody can tell where one ends.
    #[error("nothing separates {first} from {second}")]
    NoSeparator {
        /// The first of the two.
        first: String,
        /// The second.
        second: String,
    },
}

/// A pattern for `--log-format-regex`, and the pattern of its dates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// Pattern with named groups.
    pub regex: String,
    /// strptime pattern of the date.
    pub date_format: &'static str,
}

const CLF_DATE: &str = "%d/%b/%Y:%H:%M:%S";
const ISO_DATE: &str = "%Y-%m-%dT%H:%M:%S";

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What stands there, and how it was written.
    Field(Shape, String),
}

/// What a directive writes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// A text for the group of this name; none if nobody needs it.
    Text(Option<String>),
    /// Digits, or `-`.
    Number(Option<String>),
    /// The first of a list of addresses.
    Forwarded,
    /// `GET /path HTTP/1.1`
    Request,
    /// `?a=b`, or nothing.
    QueryWithMark,
    /// `dd/Mon/yyyy:hh:mm:ss +hhmm`
    ClfDate,
    /// `yyyy-mm-ddThh:mm:ss+hh:mm`
    IsoDate,
}

/// Makes a pattern of a template.
///
/// # Errors
/// What in it cannot be read back from a log.
pub fn compile(template: &str) -> Result<Compiled, TemplateError> {
    let is_nginx = template.contains('$');
    let pieces = if is_nginx { nginx(template) } else { apache(template)? };
    if !pieces.iter().any(|piece| matches!(piece, Piece::Field(..))) {
        return Err(TemplateError::NothingNamed);
    }
    let date_format =
        if pieces.iter().any(|piece| matches!(piece, Piece::Field(Shape::IsoDate, _))) { ISO_DATE } else { CLF_DATE };
    Ok(Compiled { regex: regex(&pieces)?, date_format })
}

fn regex(pieces: &[Piece]) -> Result<String, TemplateError> {
    let mut named = BTreeSet::new();
    let mut regex = String::new();
    for (at, piece) in pieces.iter().enumerate() {
        match piece {
            Piece::Text(text) => regex.push_str(&regex::escape(text)),
            Piece::Field(shape, written) => {
                let end = match pieces.get(at + 1) {
                    None => None,
                    Some(Piece::Text(text)) => text.chars().next(),
                    Some(Piece::Field(_, second)) => {
                        return Err(TemplateError::NoSeparator { first: written.clone(), second: second.clone() });
                    }
                };
                regex.push_str(&shape.pattern(end, &mut named));
            }
        }
    }
    Ok(regex)
}

impl Shape {
    /// The pattern of what it writes, up to the character that ends it.
    fn pattern(&self, end: Option<char>, named: &mut BTreeSet<String>) -> String {
        let class = |more: &str| match end {
            Some(end) => format!("[^{}{more}]", regex::escape(&end.to_string())),
            None => format!("[^{}]", if more.is_empty() { r"\n" } else { more }),
        };
        // A group can fill a field only once; of two that could, the first does.
        let mut group = |name: &str, pattern: &str| {
            if named.insert(name.to_owned()) { format!("(?P<{name}>{pattern})") } else { format!("(?:{pattern})") }
        };
        match self {
            Self::Text(Some(name)) => group(name, &format!("{}*", class(""))),
            Self::Text(None) => format!("{}*", class("")),
            Self::Number(Some(name)) => group(name, r"[\d.]+|-"),
            Self::Number(None) => r"(?:[\d.]+|-)".to_owned(),
            Self::Forwarded => format!("{}{}*", group("ip", &format!("{}*", class(r",\s"))), class("")),
            Self::Request => {
                let (method, path) = (group("method", &format!("{}+", class(r"\s"))), class(""));
                let path = group("path", &format!("{path}*?"));
                format!("{method} {path}(?: HTTP/{}+)?", class(r"\s"))
            }
            Self::QueryWithMark => format!(r"(?:\?{})?", group("query_string", &format!("{}*", class("")))),
            Self::ClfDate => {
                let date = group("date", r"\d+/\w+/\d+:\d+:\d+:\d+");
                format!("{date} {}", group("timezone", r"[+-]\d+"))
            }
            Self::IsoDate => {
                let date = group("date", r"\d+-\d+-\d+T\d+:\d+:\d+");
                format!("{date}(?:Z|{})", group("timezone", r"[+-]\d+:?\d+"))
            }
        }
    }
}

/// Adds text behind what is there.
fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => before.push_str(text),
        _ => pieces.push(Piece::Text(text.to_owned())),
    }
}

/// nginx: `$name` and `${name}`, everything else is text.
fn nginx(template: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        push_text(&mut pieces, &rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, _)) => (name, name.len() + 2),
            None => {
                let length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                (&after[..length], length)
            }
        };
        if name.is_empty() {
            push_text(&mut pieces, "$");
        } else {
            pieces.push(Piece::Field(nginx_shape(name), format!("${name}")));
        }
        rest = &after[length..];
    }
    push_text(&mut pieces, rest);
    pieces
}

fn nginx_shape(name: &str) -> Shape {
    let field = match name {
        "time_local" => return Shape::ClfDate,
        "time_iso8601" => return Shape::IsoDate,
        "request" => return Shape::Request,
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" => return Shape::Forwarded,
        "status" => return Shape::Number(Some("status".to_owned())),
        "body_bytes_sent" | "bytes_sent" => return Shape::Number(Some("length".to_owned())),
        "request_time" => return Shape::Number(Some("generation_time_secs".to_owned())),
        "remote_addr" => "ip",
        "remote_user" => "userid",
        "request_uri" | "uri" | "document_uri" => "path",
        "args" | "query_string" => "query_string",
        "request_method" => "method",
        "http_referer" => "referrer",
        "http_user_agent" => "user_agent",
        "host" | "http_host" | "server_name" => "host",
        other => return Shape::Text(Some(group_name(other))),
    };
    Shape::Text(Some(field.to_owned()))
}

/// Apache: `%` directives with their modifiers, and the backslash escapes of its configuration.
fn apache(template: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find(['%', '\\']) {
        push_text(&mut pieces, &rest[..at]);
        let after = &rest[at + 1..];
        if rest[at..].starts_with('\\') {
            let escaped = after.chars().next().unwrap_or('\\');
            let text = match escaped {
                't' => "\t".to_owned(),
                'n' => "\n".to_owned(),
                other => other.to_string(),
            };
            push_text(&mut pieces, &text);
            rest = after.strip_prefix(escaped).unwrap_or_default();
            continue;
        }
        let modifiers = after.find(|c: char| !c.is_ascii_digit() && !matches!(c, '!' | ',' | '<' | '>'));
        let after = &after[modifiers.unwrap_or(after.len())..];
        let (argument, after) = match after.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((argument, after)) => (Some(argument), after),
            None => (None, after),
        };
        let Some(letter) = after.chars().next() else {
            return Err(TemplateError::Unreadable { directive: rest[at..].to_owned() });
        };
        let after = &after[letter.len_utf8()..];
        let written = &rest[at..rest.len() - after.len()];
        match (letter, argument) {
            ('%', None) => push_text(&mut pieces, "%"),
            ('t', None) => {
                push_text(&mut pieces, "[");
                pieces.push(Piece::Field(Shape::ClfDate, written.to_owned()));
                push_text(&mut pieces, "]");
            }
            _ => {
                let unreadable = || TemplateError::Unreadable { directive: written.to_owned() };
                let shape = apache_shape(letter, argument).ok_or_else(unreadable)?;
                pieces.push(Piece::Field(shape, written.to_owned()));
            }
        }
        rest = after;
    }
    push_text(&mut pieces, rest);
    Ok(pieces)
}

fn apache_shape(letter: char, argument: Option<&str>) -> Option<Shape> {
    let text = |name: &str| Some(Shape::Text(Some(name.to_owned())));
    let number = |name: &str| Some(Shape::Number(Some(name.to_owned())));
    match (letter, argument) {
        // A header without a name.
        ('i' | 'o' | 'e' | 'C' | 'n', Some("")) => None,
        ('h' | 'a', _) => text("ip"),
        ('u', None) => text("userid"),
        ('v' | 'V', None) => text("host"),
        ('r', None) => Some(Shape::Request),
        ('m', None) => text("method"),
        ('U', None) => text("path"),
        ('q', None) => Some(Shape::QueryWithMark),
        ('s', None) => number("status"),
        ('b' | 'B' | 'O', None) => number("length"),
        ('D', None) | ('T', Some("us")) => number("generation_time_micro"),
        ('T', Some("ms")) => number("generation_time_milli"),
        ('T', None | Some("s")) => number("generation_time_secs"),
        ('l' | 'H' | 'P' | 'k' | 'L' | 'R' | 'f' | 'X' | 'A', _) => Some(Shape::Text(None)),
        ('p' | 'I' | 'S', _) => Some(Shape::Number(None)),
        ('i', Some(header)) => match header.to_ascii_lowercase().as_str() {
            "referer" => text("referrer"),
            "user-agent" => text("user_agent"),
            "host" => text("host"),
            "x-forwarded-for" => Some(Shape::Forwarded),
            other => text(&group_name(other)),
        },
        ('o' | 'e' | 'C' | 'n', Some(name)) => text(&group_name(&name.to_ascii_lowercase())),
        _ => None,
    }
}

/// A name that a group may have.
fn group_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pattern::Pattern;
    use super::*;

    const NGINX: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" $request_time ${geoip_country_code}"#;
    const APACHE: &str = r#"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\" %D %{X-Cache}o"#;

    fn read(template: &str, line: &str) -> Option<Vec<(String, String)>> {
        let compiled = compile(template).unwrap();
        let record = Pattern::new(&compiled.regex).unwrap().read(line.as_bytes())?.finish(compiled.date_format.into());
        let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        let mut fields = vec![
            ("ip".to_owned(), text(&record.ip)),
            ("path".to_owned(), text(&record.path)),
            ("status".to_owned(), text(&record.status)),
            ("moment".to_owned(), record.date.moment().map_or(-1, |moment| moment.seconds).to_string()),
        ];
        let others = [
            ("host", &record.host),
            ("userid", &record.userid),
            ("method", &record.method),
            ("length", &record.length),
            ("referrer", &record.referrer),
            ("user_agent", &record.user_agent),
            ("query", &record.query),
        ];
        fields.extend(others.iter().filter_map(|(name, value)| Some(((*name).to_owned(), text(value.as_deref()?)))));
        fields.extend(record.extra.iter().map(|(name, value)| (name.to_string(), text(value))));
        Some(fields)
    }

    fn has(fields: &[(String, String)], name: &str, value: &str) -> bool {
        fields.iter().any(|(known, text)| known == name && text == value)
    }

    #[test]
    fn a_line_of_nginx_is_read_by_its_log_format() {
        let line = r#"192.0.2.1 - jo [05/Jun/2024:08:00:00 +0200] "GET /a?x=1 HTTP/1.1" 200 12 "https://r.example/" "Mozilla/5.0 (X11)" 0.004 DK"#;
        let fields = read(NGINX, line).unwrap();
        for (name, value) in [
            ("ip", "192.0.2.1"),
            ("userid", "jo"),
            ("method", "GET"),
            ("path", "/a?x=1"),
            ("status", "200"),
            ("length", "12"),
            ("referrer", "https://r.example/"),
            ("user_agent", "Mozilla/5.0 (X11)"),
            ("geoip_country_code", "DK"),
            ("moment", "1717567200"),
        ] {
            assert!(has(&fields, name, value), "{name}={value} in {fields:?}");
        }
    }

    #[test]
    fn a_line_of_apache_is_read_by_its_log_format() {
        let line = r#"www.example.org:443 2001:db8::1 - - [05/Jun/2024:08:00:00 +0200] "POST /b HTTP/2.0" 404 - "-" "curl/8" 4211 HIT"#;
        let fields = read(APACHE, line).unwrap();
        for (name, value) in [
            ("host", "www.example.org"),
            ("ip", "2001:db8::1"),
            ("method", "POST"),
            ("path", "/b"),
            ("status", "404"),
            ("x_cache", "HIT"),
        ] {
            assert!(has(&fields, name, value), "{name}={value} in {fields:?}");
        }
    }

    #[test]
    fn iso_dates_forwarded_addresses_and_query_columns_are_understood() {
        let fields = read(
            r#"$time_iso8601 "$http_x_forwarded_for" $request_method $uri $args $status"#,
            r#"2024-06-05T08:00:00+02:00 "198.51.100.7, 10.0.0.1" GET /c y=2 200"#,
        )
        .unwrap();
        assert!(has(&fields, "ip", "198.51.100.7") && has(&fields, "query", "y=2"), "{fields:?}");
        assert!(has(&fields, "moment", "1717567200"), "{fields:?}");
    }

    #[test]
    fn what_cannot_be_read_back_is_named() {
        assert_eq!(compile("plain words"), Err(TemplateError::NothingNamed));
        assert_eq!(
            compile("%h%u"),
            Err(TemplateError::NoSeparator { first: "%h".to_owned(), second: "%u".to_owned() })
        );
        assert_eq!(compile("%h %{%s}t"), Err(TemplateError::Unreadable { directive: "%{%s}t".to_owned() }));
    }

    proptest! {
        #[test]
        fn whatever_compiles_is_a_pattern(template in r#"([$%][{]?[a-zA-Z_>]{0,12}[}]?[a-z]?|[ "\[\]\\.:-]){0,12}"#) {
            if let Ok(compiled) = compile(&template) {
                prop_assert!(Pattern::new(&compiled.regex).is_ok(), "{}", compiled.regex);
            }
        }
    }
}

//! Lines that are tracker requests themselves (`--replay-tracking`): their query says what the hit is.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::options::Replay;
use super::request::Target;
use super::rules::Rules;
use super::skip::Skip;

/// Times in seconds that a tracker sends along and `--add-to-date` moves too.
const TIMES: [&str; 4] = ["_idts", "_viewts", "_ects", "_refts"];

/// Who a request comes from, the surest first.
const VISITOR: [&str; 4] = ["uid", "cid", "_id", "cip"];

/// The parameters of a tracker request.
#[derive(Debug)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    /// The parameters, if the request is one to a tracker for some site.
    #[inline]
    pub(super) fn read(rules: &Rules, target: &Target<'_>) -> Result<Option<Box<Self>>, Skip> {
        rules.options.replay.as_ref().map_or(Ok(None), |replay| Self::read_request(rules, replay, target).map(Some))
    }

    fn read_request(rules: &Rules, replay: &Replay, target: &Target<'_>) -> Result<Box<Self>, Skip> {
        let path = target.path().to_ascii_lowercase();
        let to_tracker = |file: &String| path.ends_with(file.to_ascii_lowercase().as_bytes());
        let parameters = parse(target.query());
        if !replay.tracker_files.iter().any(to_tracker) || !parameters.contains_key("idsite") {
            return Err(Skip::NoTrackerRequest);
        }
        let mut parameters = Self(parameters);
        parameters.shift(rules.options.add_to_date_seconds);
        Ok(Box::new(parameters))
    }

    /// Matomo's number of the site the request was for; 0, which no site has, if it says anything else than a number
    /// as Matomo writes it.
    pub(super) fn site(&self) -> u32 {
        let text = self.0.get("idsite").and_then(Value::as_str).unwrap_or_default();
        text.parse().ok().filter(|id: &u32| id.to_string() == text).unwrap_or_default()
    }

    /// Hash of who the request comes from, if it says so.
    pub(super) fn visitor(&self) -> Option<u64> {
        let name = VISITOR.iter().find(|name| self.0.contains_key(**name))?;
        self.0[*name].as_str().map(|text| xxh3_64(text.as_bytes()))
    }

    /// Puts the parameters over those of the hit that starts at `start`. The site stays the hit's.
    pub(super) fn overlay(&self, out: &mut Vec<u8>, start: usize) {
        // What we wrote ourselves is an object; were it not, the request's own parameters would still be sent.
        let mut hit: Map<String, Value> = serde_json::from_slice(&out[start..]).unwrap_or_default();
        hit.insert("rec".into(), "0".into());
        let given = self.0.iter().filter(|(name, _)| *name != "idsite");
        hit.extend(given.map(|(name, value)| (name.clone(), value.clone())));
        out.truncate(start);
        out.extend_from_slice(Value::Object(hit).to_string().as_bytes());
    }

    fn shift(&mut self, seconds: i64) {
        for name in TIMES {
            let Some(Value::String(text)) = self.0.get_mut(name) else {
                continue;
            };
            if let Ok(time) = text.parse::<i64>() {
                *text = time.saturating_add(seconds).to_string();
            }
        }
    }
}

/// A query as a form: the last of repeated names wins, values of nothing are dropped, brackets make nested values.
fn parse(query: &[u8]) -> Map<String, Value> {
    let mut flat: Vec<(String, String)> = Vec::new();
    for pair in query.split(|&byte| byte == b'&') {
        let Some(equals) = memchr::memchr(b'=', pair) else {
            continue;
        };
        let (name, value) = (decode(&pair[..equals]), decode(&pair[equals + 1..]));
        if value.is_empty() {
            continue;
        }
        match flat.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => flat.push((name, value)),
        }
    }
    let mut root = BTreeMap::new();
    for (name, value) in flat {
        let (first, keys) = split_name(&name);
        if first.is_empty() {
            root.insert(name, Node::Text(value));
        } else {
            insert(&mut root, first, &keys, value);
        }
    }
    root.into_iter().map(|(name, node)| (name, node.value())).collect()
}

/// A value that may hold others.
enum Node {
    Text(String),
    Branch(BTreeMap<String, Node>),
}

impl Node {
    /// As JSON; keys 0, 1, 2 and so on make a list.
    fn value(self) -> Value {
        match self {
            Self::Text(text) => Value::String(text),
            Self::Branch(mut branch) => {
                let is_list = (0..branch.len()).all(|place| branch.contains_key(&place.to_string()));
                if is_list {
                    let places = (0..branch.len()).filter_map(|place| branch.remove(&place.to_string()));
                    Value::Array(places.collect::<Vec<_>>().into_iter().map(Self::value).collect())
                } else {
                    Value::Object(branch.into_iter().map(|(key, node)| (key, node.value())).collect())
                }
            }
        }
    }
}

fn insert(branch: &mut BTreeMap<String, Node>, key: &str, keys: &[&str], text: String) {
    let key = if key.is_empty() { branch.len().to_string() } else { key.to_owned() };
    let Some((next, rest)) = keys.split_first() else {
        branch.insert(key, Node::Text(text));
        return;
    };
    let node = branch.entry(key).or_insert_with(|| Node::Branch(BTreeMap::new()));
    if let Node::Text(_) = node {
        *node = Node::Branch(BTreeMap::new());
    }
    if let Node::Branch(inner) = node {
        insert(inner, next, rest, text);
    }
}

/// Depth of brackets that is looked at; a deeper name is a name without brackets.
const DEPTH_MAX: usize = 8;

/// `a[b][]` is `a` with the keys `b` and nothing; brackets that do not pair are part of the name.
fn split_name(name: &str) -> (&str, Vec<&str>) {
    let Some((first, rest)) = name.split_once('[').filter(|(first, _)| !first.is_empty()) else {
        return (name, Vec::new());
    };
    match rest.strip_suffix(']').map(|inner| inner.split("][").collect::<Vec<_>>()) {
        Some(keys) if keys.len() <= DEPTH_MAX && !keys.iter().any(|key| key.contains(['[', ']'])) => (first, keys),
        _ => (name, Vec::new()),
    }
}

fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        let hex = |place: usize| after.get(place).and_then(|&byte| char::from(byte).to_digit(16));
        let (left, byte) = match (first, hex(0), hex(1)) {
            (b'%', Some(high), Some(low)) => (&after[2..], (high * 16 + low) as u8),
            (b'+', ..) => (after, b' '),
            _ => (after, first),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(query: &str) -> Value {
        Value::Object(parse(query.as_bytes()))
    }

    #[test]
    fn queries_are_read_as_forms() {
        assert_eq!(
            json("a=1&b=x+y%20z&c=%C3%BC%E9&d=&e&a=2;f=3"),
            serde_json::json!({
                "a": "2;f=3", "b": "x y z", "c": "ü\u{fffd}"
            })
        );
        assert_eq!(json("a=1&=2"), serde_json::json!({"a": "1", "": "2"}));
        assert_eq!(json("p=100%&q=%zz"), serde_json::json!({"p": "100%", "q": "%zz"}));
    }

    #[test]
    fn brackets_make_lists_and_objects() {
        assert_eq!(
            json("a[0][t]=5&a[1][t]=6&b[]=1&b[]=2&c[k]=v&d[2]=x"),
            serde_json::json!({
                "a": [{"t": "5"}, {"t": "6"}], "b": ["2"], "c": {"k": "v"}, "d": {"2": "x"}
            })
        );
        assert_eq!(json("a=1&a[k]=2"), serde_json::json!({"a": {"k": "2"}}));
        assert_eq!(json("a[=1&[b]=2&c]=3"), serde_json::json!({"a[": "1", "[b]": "2", "c]": "3"}));
        assert!(json(&format!("a{}=1", "[x]".repeat(1000))).is_object());
    }
}

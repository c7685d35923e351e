//! Query strings and form bodies: pairs, decoded, and the nested names that PHP understands.

use serde_json::{Map, Value};

/// The pairs of `a=1&b=2`, percent and plus decoded; wrong UTF-8 becomes the replacement character.
pub fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decode(name), decode(value))
        })
        .collect()
}

/// The parameters of one hit. `name[]` collects a list, `name[key]` an object, one level deep.
pub fn parameters(text: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for (name, value) in pairs(text) {
        put(&mut map, &name, Value::String(value));
    }
    map
}

fn put(map: &mut Map<String, Value>, name: &str, value: Value) {
    let Some((outer, key)) = name.strip_suffix(']').and_then(|open| open.split_once('[')) else {
        map.insert(name.to_owned(), value);
        return;
    };
    if key.is_empty() {
        if let Value::Array(list) = map.entry(outer).or_insert_with(|| Value::Array(Vec::new())) {
            list.push(value);
        }
    } else if let Value::Object(object) = map.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
        object.insert(key.to_owned(), value);
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = || text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match bytes[at] {
            b'+' => plain.push(b' '),
            b'%' => match escaped() {
                Some(byte) => {
                    plain.push(byte);
                    at += 2;
                }
                None => plain.push(b'%'),
            },
            byte => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_pluses_and_stray_percent_signs() {
        let expected = [("a", "1 2"), ("b", "é%"), ("c", ""), ("d", "%zz")];
        let read = pairs("a=1+2&b=%C3%A9%&c&&d=%zz");
        assert_eq!(read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn brackets_make_lists_and_objects() {
        let map = parameters("a[]=1&a[]=2&b[k]=x&c=3");
        assert_eq!(Value::Object(map), serde_json::json!({"a": ["1", "2"], "b": {"k": "x"}, "c": "3"}));
    }
}

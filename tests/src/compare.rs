//! Two sets of hits, field by field, read the way Matomo reads them.
//!
//! Numbers and their decimal text are the same; `cvar` and `_cvar` given as JSON text are decoded; an empty parameter is
//! the same as an absent one. Hits are a multiset: their order does not matter here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Parameters that say nothing about the hit.
const NOT_COMPARED: [&str; 4] = ["token_auth", "send_image", "rand", "debug"];
/// Parameters that are sent as JSON text.
const JSON_TEXT: [&str; 2] = ["cvar", "_cvar"];

/// A hit with one spelling for everything.
pub type Plain = BTreeMap<String, Value>;

/// One way in which the two sets are not the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Expected, and nothing like it came.
    Missing(String),
    /// Came, and nothing like it was expected.
    Surplus(String),
    /// Expected and came, but not with the same parameters.
    Differs(String),
}

/// The hit in one spelling.
pub fn plain(hit: &Map<String, Value>) -> Plain {
    let compared = hit.iter().filter(|(name, _)| !NOT_COMPARED.contains(&name.as_str()));
    let spelled = compared.map(|(name, value)| {
        let decoded = value.as_str().filter(|_| JSON_TEXT.contains(&name.as_str()));
        let decoded = decoded.and_then(|text| serde_json::from_str(text).ok());
        let value = decoded.unwrap_or_else(|| value.clone());
        (name.clone(), spell(if JSON_TEXT.contains(&name.as_str()) { numbered(value) } else { value }))
    });
    spelled.filter(|(_, value)| !is_empty(value)).collect()
}

/// A list of variables is the same as an object with the numbers from 1 as names.
fn numbered(value: Value) -> Value {
    match value {
        Value::Array(items) => {
            Value::Object(items.into_iter().enumerate().map(|(at, item)| ((at + 1).to_string(), item)).collect())
        }
        other => other,
    }
}

fn spell(value: Value) -> Value {
    match value {
        Value::Bool(yes) => Value::String(u8::from(yes).to_string()),
        Value::Number(number) => Value::String(match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        }),
        Value::Array(items) => Value::Array(items.into_iter().map(spell).collect()),
        Value::Object(map) => Value::Object(map.into_iter().map(|(name, value)| (name, spell(value))).collect()),
        other => other,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// How `came` differs from `expected`. Parameters in `extra` may be there although none was expected.
pub fn differences(expected: &[Plain], came: &[Plain], extra: &[&str]) -> Vec<Difference> {
    let without_extra = |hit: &Plain| {
        hit.iter()
            .filter(|(name, _)| !extra.contains(&name.as_str()))
            .map(|(n, v)| (n.clone(), v.clone()))
            .collect::<Plain>()
    };
    let mut left: BTreeMap<String, Vec<Plain>> = BTreeMap::new();
    for hit in expected.iter().map(without_extra) {
        left.entry(key(&hit)).or_default().push(hit);
    }
    let mut surplus = Vec::new();
    for hit in came.iter().map(without_extra) {
        if left.get_mut(&key(&hit)).and_then(Vec::pop).is_none() {
            surplus.push(hit);
        }
    }
    pair_up(left.into_values().flatten().collect(), surplus)
}

fn key(hit: &Plain) -> String {
    serde_json::to_string(hit).unwrap_or_default()
}

/// Missing and surplus hits that are most alike are shown as one hit that differs.
fn pair_up(missing: Vec<Plain>, mut surplus: Vec<Plain>) -> Vec<Difference> {
    let mut found = Vec::new();
    for hit in missing {
        let alike = (0..surplus.len())
            .filter(|at| ["cdt", "url", "cip"].iter().any(|name| hit.get(*name) == surplus[*at].get(*name)));
        match alike.min_by_key(|at| differing(&hit, &surplus[*at]).len()) {
            Some(at) => found.push(Difference::Differs(contrast(&hit, &surplus.swap_remove(at)))),
            None => found.push(Difference::Missing(label(&hit))),
        }
    }
    found.extend(surplus.iter().map(|hit| Difference::Surplus(label(hit))));
    found
}

fn differing<'h>(expected: &'h Plain, came: &'h Plain) -> Vec<&'h str> {
    let names: BTreeSet<&String> = expected.keys().chain(came.keys()).collect();
    names.into_iter().filter(|name| expected.get(*name) != came.get(*name)).map(String::as_str).collect()
}

fn contrast(expected: &Plain, came: &Plain) -> String {
    let show = |value: Option<&Value>| value.map_or_else(|| "(absent)".to_owned(), Value::to_string);
    let mut text = label(expected);
    for name in differing(expected, came) {
        text += &format!(
            "\n    {name}: expected {}\n    {:>width$}  got      {}",
            show(expected.get(name)),
            "",
            show(came.get(name)),
            width = name.len()
        );
    }
    text
}

fn label(hit: &Plain) -> String {
    let show = |name: &str| hit.get(name).and_then(Value::as_str).unwrap_or("-").chars().take(100).collect::<String>();
    format!("{} {} {}", show("cdt"), show("cip"), show("url"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hit(value: &Value) -> Plain {
        plain(value.as_object().unwrap())
    }

    #[test]
    fn spellings_that_mean_the_same_are_the_same() {
        let expected = hit(&json!({"bw_bytes": "368", "cvar": {"1": ["HTTP-code", "200"]}, "urlref": ""}));
        let came = hit(&json!({"bw_bytes": 368, "cvar": r#"{"1":["HTTP-code",200]}"#, "token_auth": "x", "rand": 7}));
        assert_eq!(expected, came);
        assert_eq!(hit(&json!({"cvar": "[[\"a\",\"b\"]]"})), hit(&json!({"cvar": {"1": ["a", "b"]}})));
        assert_eq!(hit(&json!({"pf_srv": 4.0})), hit(&json!({"pf_srv": "4"})));
    }

    #[test]
    fn every_tampering_is_noticed() {
        let hits: Vec<Plain> = (0..3)
            .map(|n| hit(&json!({"cip": "192.0.2.1", "url": format!("http://x/{n}"), "cdt": "2026-01-01 00:00:00"})))
            .collect();
        assert_eq!(differences(&hits, &hits, &[]), []);
        assert!(matches!(differences(&hits, &hits[1..], &[])[..], [Difference::Missing(_)]));
        let doubled = [&hits[..], &hits[..1]].concat();
        assert!(matches!(differences(&hits, &doubled, &[])[..], [Difference::Surplus(_)]));
        let mut other = hits.clone();
        other[2].insert("ua".to_owned(), json!("x"));
        assert!(
            matches!(&differences(&hits, &other, &[])[..], [Difference::Differs(text)] if text.contains("ua: expected (absent)"))
        );
        assert_eq!(differences(&hits, &other, &["ua"]), []);
    }
}

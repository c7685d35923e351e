//! Did every line arrive, once, and each visitor's in time order? Lines against hits, number by number.

use std::collections::BTreeMap;
use std::fmt;

use crate::log::Line;
use crate::matomo::Hit;

/// Who, when and what: enough to tell any two lines apart, since every path carries its number.
type Identity = (String, i64, String, String);

/// How the hits of a site differ from the lines that were written for it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arrival {
    /// Lines without a hit, written as time, address, path.
    pub missing: Vec<String>,
    /// Hits without a line, or beyond the first of a line.
    pub surplus: Vec<String>,
    /// Hits that came after a later one of the same visitor.
    pub out_of_order: Vec<String>,
}

impl Arrival {
    /// Compare lines with the hits of a site, given in the order of arrival.
    pub fn of(lines: &[Line], main_url: &str, hits: &[Hit]) -> Self {
        let mut expected: BTreeMap<Identity, i64> = BTreeMap::new();
        for line in lines {
            let url = format!("{main_url}{}", line.path);
            *expected.entry((line.address.clone(), line.second, url, line.agent.clone())).or_default() += 1;
        }
        for hit in hits {
            *expected.entry(identity(hit)).or_default() -= 1;
        }
        let named = |wanted: fn(i64) -> i64| {
            expected
                .iter()
                .flat_map(move |(identity, count)| vec![show(identity); wanted(*count).max(0) as usize])
                .collect()
        };
        Self { missing: named(|count| count), surplus: named(|count| -count), out_of_order: disorder(hits) }
    }

    /// Nothing missing, nothing surplus, and every visitor in time order.
    pub fn is_exact(&self) -> bool {
        *self == Self::default()
    }
}

fn identity(hit: &Hit) -> Identity {
    (hit.text("cip"), hit.second().unwrap_or(-1), hit.text("url"), hit.text("ua"))
}

fn show((address, second, url, _): &Identity) -> String {
    format!("{second} {address} {url}")
}

/// Matomo sees a new visit when hits of one visitor arrive out of order; what different visitors do does not matter.
fn disorder(hits: &[Hit]) -> Vec<String> {
    let mut latest: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut found = Vec::new();
    for hit in hits {
        let second = hit.second().unwrap_or(-1);
        let last = latest.entry((hit.visitor(), hit.text("ua"))).or_insert(second);
        if second < *last {
            found.push(show(&identity(hit)));
        }
        *last = second.max(*last);
    }
    found
}

impl fmt::Display for Arrival {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 12;
        for (what, lines) in
            [("missing", &self.missing), ("surplus", &self.surplus), ("out of order", &self.out_of_order)]
        {
            writeln!(out, "{what}: {}", lines.len())?;
            for line in lines.iter().take(SHOWN_MAX) {
                writeln!(out, "    {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::log::Traffic;

    const MAIN_URL: &str = "https://www.example.org";

    fn arrived(line: &Line) -> Hit {
        let cdt = jiff::Timestamp::from_second(line.second).unwrap().strftime("%Y-%m-%d %H:%M:%S").to_string();
        let hit = json!({"cip": line.address, "ua": line.agent, "cdt": cdt, "url": format!("{MAIN_URL}{}", line.path)});
        Hit(hit.as_object().unwrap().clone())
    }

    #[test]
    fn all_lines_once_and_in_order_is_exact() {
        let lines = Traffic::seeded(9).lines(200);
        let hits: Vec<Hit> = lines.iter().map(arrived).collect();
        assert_eq!(Arrival::of(&lines, MAIN_URL, &hits), Arrival::default());
    }

    #[test]
    fn a_lost_a_doubled_and_a_foreign_hit_are_named() {
        let lines = Traffic::seeded(9).lines(50);
        let mut hits: Vec<Hit> = lines.iter().map(arrived).collect();
        let lost = hits.remove(10);
        hits.push(hits[48].clone());
        hits.push(arrived(&Line { path: "/foreign".into(), ..lines[49].clone() }));
        let arrival = Arrival::of(&lines, MAIN_URL, &hits);
        assert_eq!(arrival.missing, [show(&identity(&lost))]);
        assert_eq!(arrival.surplus.len(), 2);
        assert!(!arrival.is_exact());
    }

    #[test]
    fn only_a_visitors_own_order_counts() {
        let lines = Traffic::seeded(9).with_gaps_of(40).lines(60);
        let mut hits: Vec<Hit> = lines.iter().map(arrived).collect();
        hits.sort_by_key(Hit::visitor);
        assert_eq!(disorder(&hits), Vec::<String>::new());
        hits.reverse();
        assert!(!disorder(&hits).is_empty());
    }
}

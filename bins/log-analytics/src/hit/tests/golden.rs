//! What the reference importer really sent, recorded, against what we send. Lines are read by plain patterns here, so
//! that this stage is tested without the one before it.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use regex::bytes::{Captures, Regex};
use serde_json::{Map, Value};

use super::*;
use crate::options::ImportOptions;
use crate::summary::{Counts, Place};

const REQUEST: &str = r#"(?P<ip>[\w*.:-]+)\s+\S+\s+(?P<userid>\S+)\s+\[(?P<date>.*?)\s+(?P<zone>.*?)\]\s+"(?P<method>\S+)\s+(?P<path>.*?)\s+\S+"\s+(?P<status>\d+)\s+(?P<length>\S+)"#;
const ENDS: &str = r#"\s+"(?P<referrer>.*?)"\s+"(?P<agent>.*?)""#;
const HOST: &str = r"(?P<host>[\w.-]*)(?::\d+)?\s+";

/// Inputs by the pattern that reads them.
fn pattern(input: &str, forced: Option<&str>) -> Option<Regex> {
    let pattern = match (input, forced) {
        ("combined.log", Some("common")) | ("common.log", None) => format!("(?s-u)^{REQUEST}"),
        ("combined.log" | "quirk_badutf8.log" | "replay.log" | "crlf.log", None | Some("ncsa_extended")) => {
            format!("(?s-u)^{REQUEST}{ENDS}")
        }
        ("vhost_combined.log", None) => format!("(?s-u)^{HOST}{REQUEST}{ENDS}"),
        ("vhost_common.log", None) => format!("(?s-u)^{HOST}{REQUEST}"),
        _ => return None,
    };
    Some(Regex::new(&pattern).unwrap())
}

fn record<'l>(captures: &Captures<'l>) -> Record<'l> {
    let get = |name| captures.name(name).map(|found| Cow::Borrowed(found.as_bytes()));
    Record {
        ip: get("ip").unwrap(),
        date: Date::Clf { date: get("date").unwrap(), zone: get("zone").unwrap() },
        path: get("path").unwrap(),
        status: get("status").unwrap(),
        length: get("length"),
        referrer: get("referrer"),
        user_agent: get("agent"),
        host: get("host"),
        userid: get("userid"),
        method: get("method"),
        ..Record::default()
    }
}

fn folder() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shared = std::env::var_os("SHARED").map_or_else(|| here.join("../../../shared"), PathBuf::from);
    let golden = shared.join("golden");
    golden.is_dir().then_some(golden)
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn words(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The sites of a case by host, for lines that name one.
struct Sites {
    by_id: BTreeMap<u32, Site>,
    by_host: HashMap<String, u32>,
}

impl Sites {
    fn new(case: &Value) -> Self {
        let mut sites = Self { by_id: BTreeMap::new(), by_host: HashMap::new() };
        for (id, url) in case["sites"].as_object().unwrap() {
            sites.add(id.parse().unwrap(), url.as_str().unwrap());
        }
        sites
    }

    fn add(&mut self, id: u32, url: &str) {
        self.by_id.insert(id, Site::new(id, url));
        self.by_host.insert(url.split("://").nth(1).unwrap().to_owned(), id);
    }

    fn find(&mut self, host: &str, options: &ImportOptions, counts: &mut Counts) -> Option<u32> {
        let known = options.site.idsite.or(self.by_host.get(host).copied()).or(options.site.idsite_fallback);
        if known.is_some() || !options.site.add_sites_new_hosts {
            return known;
        }
        let id = self.by_id.len() as u32 + 1;
        self.add(id, &format!("http://{host}"));
        counts.sites_created.insert(host.to_owned(), id);
        Some(id)
    }
}

fn import(case: &Value, golden: &Path, input: &str, options: &ImportOptions, pattern: &Regex) -> (Vec<Value>, Counts) {
    let bytes = fs::read(golden.join("inputs").join(input)).unwrap();
    let mut judge = Judge::new(&options.hits, options.site.idsite.is_none()).unwrap();
    let (mut sites, mut counts, mut hits) = (Sites::new(case), Counts::default(), Vec::new());
    let mut dates = Dates::default();
    let lines = bytes.strip_suffix(b"\n").unwrap_or(&bytes).split(|&byte| byte == b'\n');
    for (number, line) in lines.enumerate().skip(options.skip as usize) {
        counts.lines += 1;
        let place = Place { line: number as u64 + 1, offset: 0 };
        let Some(captures) = pattern.captures(line) else {
            counts.malformed(place, line);
            continue;
        };
        let record = record(&captures);
        match judge.judge(&record, &mut dates, NOW) {
            Verdict::Skip(skipped) => counts.skip(skipped, place, line),
            Verdict::Keep(hit) => {
                let host = String::from_utf8_lossy(judge.host(&hit).unwrap_or_default()).into_owned();
                let found = match hit.replayed_site() {
                    Some(id) => options.site.idsite.or(sites.by_id.contains_key(&id).then_some(id)),
                    None => sites.find(&host, options, &mut counts),
                };
                let Some(id) = found else {
                    counts.without_site(host.as_bytes(), hit.download);
                    continue;
                };
                counts.kept(hit.download);
                counts.sites.insert(id);
                counts.recorded += 1;
                let mut out = Vec::new();
                judge.write(&hit, &sites.by_id[&id], &mut out);
                hits.push(normal(&serde_json::from_slice(&out).unwrap()));
            }
        }
    }
    (hits, counts)
}

/// Numbers as text, variables decoded: the shape of the recordings.
fn normal(hit: &Value) -> Value {
    let mut tidy = Map::new();
    for (name, value) in hit.as_object().unwrap() {
        let value = match (name.as_str(), value) {
            ("cvar" | "_cvar", Value::String(text)) => serde_json::from_str(text).unwrap(),
            (_, Value::Number(number)) => Value::String(number.to_string()),
            (_, other) => other.clone(),
        };
        tidy.insert(name.clone(), value);
    }
    Value::Object(tidy)
}

/// Runs a case; the faults found, or none if the case is not for this test.
fn faults(golden: &Path, listed: &Value) -> Option<Vec<String>> {
    let case = read(&golden.join(listed["expected"].as_str().unwrap()));
    let must = case["verdict"] == "must" || case["case"].as_str().unwrap().starts_with("quirk.badutf8");
    let options = ImportOptions::from_words(words(&case["options"]).into_iter().map(Into::into)).ok()?;
    let [input] = &words(&case["inputs"])[..] else {
        return None;
    };
    let input = input.trim_end_matches(".gz").trim_end_matches(".bz2");
    let pattern = pattern(input, options.format.name.as_deref()).filter(|_| must && !case["summary"].is_null())?;
    let (hits, counts) = import(&case, golden, input, &options, &pattern);
    let mut faults = Vec::new();
    let expected = case["hits"].as_array().unwrap();
    for (number, pair) in expected.iter().zip(&hits).enumerate() {
        if pair.0 != pair.1 {
            faults.push(format!("hit {number}:\n  expected {}\n  sent     {}", pair.0, pair.1));
        }
    }
    if expected.len() != hits.len() {
        faults.push(format!("{} hits expected, {} sent", expected.len(), hits.len()));
    }
    let json = counts.json();
    for (name, expected) in case["summary"].as_object().unwrap() {
        if &json[name] != expected {
            faults.push(format!("{name}: expected {expected}, counted {}", json[name]));
        }
    }
    Some(faults)
}

#[test]
fn hits_and_counters_are_those_of_the_reference_importer() {
    let Some(golden) = folder() else {
        println!(
            "NOT TESTED: no recordings of the reference importer here; set SHARED to the folder that holds golden/"
        );
        return;
    };
    let cases = read(&golden.join("cases.json"));
    let mut run = 0;
    for case in cases.as_array().unwrap() {
        if let Some(faults) = faults(&golden, case) {
            assert!(faults.is_empty(), "{}\n{}", case["case"], faults.join("\n"));
            run += 1;
        }
    }
    println!("{run} cases of the reference importer are the same");
    assert!(run >= 45, "only {run} cases were for this test; did their names or options change?");
}

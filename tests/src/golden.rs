//! The golden cases: small logs, and the hits that Matomo's own importer sends for them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::compare::{Difference, Plain, differences, plain};
use crate::matomo::Hit;

/// The counters of the printed summary, each with the words that follow its number.
const COUNTERS: [(&str, &str); 15] = [
    ("recorded", "requests imported successfully"),
    ("downloads", "requests were downloads"),
    ("ignored_total", "requests ignored"),
    ("http_errors", "HTTP errors"),
    ("http_redirects", "HTTP redirects"),
    ("invalid", "invalid log lines"),
    ("filtered", "filtered log lines"),
    ("no_site", "requests did not match any known site"),
    ("hostname_skipped", "requests did not match any --hostname"),
    ("bots", "requests done by bots"),
    ("static", "requests to static resources"),
    ("skipped_downloads", "requests to file downloads did not match"),
    ("sites_existing", "sites already existed"),
    ("sites_created", "sites were created"),
    ("hostnames_ignored", "distinct hostnames did not match"),
];

/// The file of cases, or one of the files it names, is not usable.
#[derive(Debug)]
pub struct ReadGolden {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ReadGolden {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot read the golden cases from {}", self.path.display())
    }
}

impl std::error::Error for ReadGolden {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// One case.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Its name.
    pub case: String,
    /// `must` or `deviate`.
    pub verdict: String,
    /// File with the expected hits, below the folder.
    pub expected: String,
    /// Logs, below `inputs`, in the order of the command line.
    pub inputs: Vec<String>,
    /// Options, without address and token.
    pub options: Vec<String>,
    /// Site id to main URL.
    pub sites: Map<String, Value>,
    /// Is the only log piped in?
    pub stdin: bool,
    /// Expected exit code.
    pub exit: i32,
}

/// What a case must lead to.
#[derive(Debug, Clone, Deserialize)]
pub struct Expectation {
    hits: Vec<Map<String, Value>>,
    summary: Option<Map<String, Value>>,
}

/// A folder of cases.
#[derive(Debug, Clone)]
pub struct Golden {
    folder: PathBuf,
}

impl Golden {
    /// The set in `$SHARED_DIR/golden` or, without that variable, beside the repository; nothing when there is none.
    pub fn find(shared_folder: Option<PathBuf>) -> Option<Self> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
        let folder = shared_folder.unwrap_or_else(beside).join("golden");
        folder.join("cases.json").is_file().then_some(Self { folder })
    }

    /// All cases with this verdict.
    ///
    /// # Errors
    /// When the file is unreadable or has another shape.
    pub fn cases(&self, verdict: &str) -> Result<Vec<Case>, ReadGolden> {
        let cases: Vec<Case> = self.read("cases.json")?;
        Ok(cases.into_iter().filter(|case| case.verdict == verdict).collect())
    }

    /// What a case must lead to.
    ///
    /// # Errors
    /// When the file is unreadable or has another shape.
    pub fn expectation(&self, case: &Case) -> Result<Expectation, ReadGolden> {
        self.read(&case.expected)
    }

    /// The logs of a case.
    pub fn inputs(&self, case: &Case) -> Vec<PathBuf> {
        case.inputs.iter().map(|input| self.folder.join("inputs").join(input)).collect()
    }

    fn read<T: for<'d> Deserialize<'d>>(&self, name: &str) -> Result<T, ReadGolden> {
        let path = self.folder.join(name);
        let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
        read.map_err(|source| ReadGolden { path, source })
    }
}

impl Expectation {
    /// How hits and printed summary differ from it; empty when they do not.
    pub fn check(&self, hits: &[Hit], output: &str) -> Vec<String> {
        let expected: Vec<Plain> = self.hits.iter().map(plain).collect();
        let came: Vec<Plain> = hits.iter().map(|hit| plain(&hit.0)).collect();
        let mut found: Vec<String> = differences(&expected, &came, &["pv_id"]).into_iter().map(told).collect();
        found.extend(self.check_summary(output));
        found
    }

    fn check_summary(&self, output: &str) -> Vec<String> {
        let Some(summary) = &self.summary else {
            return Vec::new();
        };
        let wanted = COUNTERS.iter().filter_map(|(name, words)| Some((words, summary.get(*name)?.as_u64()?)));
        let wrong = wanted.filter_map(|(words, expected)| match counter(output, words) {
            Some(came) if came == expected => None,
            came => Some(format!("counter  \"{words}\": expected {expected}, got {came:?}")),
        });
        wrong.collect()
    }
}

fn told(difference: Difference) -> String {
    match difference {
        Difference::Missing(hit) => format!("missing  {hit}"),
        Difference::Surplus(hit) => format!("surplus  {hit}"),
        Difference::Differs(hit) => format!("differs  {hit}"),
    }
}

/// The number before these words, on whatever line they are.
fn counter(output: &str, words: &str) -> Option<u64> {
    let at = output.find(words)?;
    output[..at].split_whitespace().next_back()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expectation() -> Expectation {
        let hits = json!([{"url": "http://x/", "cip": "192.0.2.1", "bw_bytes": "7"}]);
        serde_json::from_value(json!({"hits": hits, "summary": {"recorded": 1, "http_errors": 2}})).unwrap()
    }

    fn hit(value: &Value) -> Hit {
        Hit(value.as_object().unwrap().clone())
    }

    const SUMMARY: &str = "    1 requests imported successfully\n    2 HTTP errors\n";

    #[test]
    fn the_same_hits_and_counters_are_the_same() {
        let hits = [hit(&json!({"url": "http://x/", "cip": "192.0.2.1", "bw_bytes": 7, "pv_id": "abcdef"}))];
        assert_eq!(expectation().check(&hits, SUMMARY), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_field_a_wrong_counter_and_a_missing_one_are_reported() {
        let hits = [hit(&json!({"url": "http://x/", "cip": "192.0.2.1", "bw_bytes": 8}))];
        assert_eq!(expectation().check(&hits, SUMMARY).len(), 1);
        assert_eq!(expectation().check(&hits, "   3 requests imported successfully").len(), 3);
    }
}

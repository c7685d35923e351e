//! What Matomo answers, container by container: the proof that a switch took effect is by status and content.

use std::fmt;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde::Serialize;
use shared::http::{Answer, Http, HttpError, HttpOptions, SetupError};
use shared::secret::Secret;
use tokio::net::TcpStream;

use crate::config::Settings;

const DEADLINE: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(250);
const CONTAINERS_MAX: usize = 64;

/// What one half of Matomo does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "why")]
pub enum Half {
    /// It works.
    On,
    /// It is switched off.
    Off,
    /// Neither: an error, or no answer.
    Odd(String),
}

/// One container's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its address.
    pub container: String,
    /// What the bare tracker answers: 200 on; 503, or 204 in newer versions, off.
    pub tracking: Half,
    /// What the API answers: 401 or a value on; 503, or a page where JSON was asked for, off.
    pub ui: Half,
    /// The status of the tracker's answer.
    pub tracking_status: Option<u16>,
    /// The status of the API's answer.
    pub ui_status: Option<u16>,
    /// Matomo's version, where a token was given.
    pub version: Option<String>,
    /// Whether nobody is there at all: the name is unknown, or connections are refused. What does not run writes nothing.
    pub absent: bool,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (true, Half::Odd(why)) = (self.absent, &self.tracking) {
            return write!(f, "{}: nobody is there: {why}", self.container);
        }
        let half = |name: &str, half: &Half, status: Option<u16>| {
            let status = status.map_or(String::new(), |status| format!(" ({status})"));
            match half {
                Half::On => format!("{name} on{status}"),
                Half::Off => format!("{name} off{status}"),
                Half::Odd(why) => format!("{name} odd{status}: {why}"),
            }
        };
        write!(
            f,
            "{}: {}, {}",
            self.container,
            half("tracking", &self.tracking, self.tracking_status),
            half("user interface", &self.ui, self.ui_status)
        )
    }
}

/// What the containers should do; nothing where either is right.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Tracking on or off.
    pub tracking: Option<bool>,
    /// User interface and API on or off.
    pub ui: Option<bool>,
}

impl Wanted {
    /// Whether a container does it.
    pub fn met_by(self, seen: &Seen) -> bool {
        let met = |wanted: Option<bool>, half: &Half| match wanted {
            None => true,
            Some(true) => *half == Half::On,
            Some(false) => *half == Half::Off,
        };
        met(self.tracking, &seen.tracking) && met(self.ui, &seen.ui)
    }
}

struct Container {
    name: String,
    url: String,
    /// Where its name leads; looked up anew where nothing is kept.
    at: Option<SocketAddr>,
    http: Http,
}

/// All containers behind the balancer.
pub struct Probe {
    containers: Vec<Container>,
    token: Option<Secret>,
}

impl Probe {
    /// Looks the containers up; asks none of them yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn of(settings: &Settings) -> Result<Self, SetupError> {
        let client = |at: Option<SocketAddr>, https: bool| {
            Http::new(HttpOptions {
                https,
                at: at.map(|at| (host(settings.matomo_url.as_str()).to_owned(), at)),
                ca_file: settings.ca_file.clone(),
                deadline: DEADLINE,
                ..HttpOptions::named(concat!("maintenance/", env!("CARGO_PKG_VERSION")))
            })
        };
        let mut containers = Vec::new();
        for address in &settings.containers {
            let url = address.as_str().to_owned();
            containers.push(Container {
                name: address.to_string(),
                http: client(None, url.starts_with("https:"))?,
                at: None,
                url,
            });
        }
        if containers.is_empty() {
            let url = settings.matomo_url.as_str();
            let https = url.starts_with("https:");
            let found = addresses(url);
            for at in &found {
                let name = if found.len() == 1 { settings.matomo_url.to_string() } else { at.to_string() };
                containers.push(Container {
                    name,
                    url: url.to_owned(),
                    at: Some(*at),
                    http: client(Some(*at), https)?,
                });
            }
            if found.is_empty() {
                containers.push(Container {
                    name: settings.matomo_url.to_string(),
                    url: url.to_owned(),
                    at: None,
                    http: client(None, https)?,
                });
            }
        }
        Ok(Self { containers, token: settings.matomo_token.clone() })
    }

    /// How many containers there are.
    pub fn count(&self) -> usize {
        self.containers.len()
    }

    /// Asks each container once.
    pub async fn look(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for container in &self.containers {
            all.push(self.ask(container).await);
        }
        all
    }

    /// Asks until all answer as wanted, or the time is over; the last answers, and whether they are right.
    pub async fn wait_for(&self, wanted: Wanted, patience: Duration) -> (Vec<Seen>, bool) {
        let give_up = Instant::now() + patience;
        loop {
            let seen = self.look().await;
            let met = seen.iter().all(|seen| wanted.met_by(seen));
            if met || Instant::now() >= give_up {
                return (seen, met);
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
    }

    async fn ask(&self, container: &Container) -> Seen {
        let tracker = container.http.get(&format!("{}/matomo.php", container.url)).await;
        let mut form = "module=API&format=json&method=API.getMatomoVersion".to_owned();
        if let Some(token) = &self.token {
            form += &format!("&token_auth={}", token.reveal());
        }
        let url = format!("{}/index.php", container.url);
        let api = container.http.post(&url, "application/x-www-form-urlencoded", form).await;
        let never_left = |answer: &Result<Answer, HttpError>| answer.as_ref().is_err_and(HttpError::never_left);
        Seen {
            container: container.name.clone(),
            absent: never_left(&tracker) && never_left(&api) && is_absent(container).await,
            tracking_status: status(&tracker),
            tracking: half(tracker, judge_tracker),
            ui_status: status(&api),
            version: version(&api),
            ui: half(api, judge_api),
        }
    }
}

/// A failed connection may also be a certificate that does not fit, or a machine that drops what it gets: there somebody
/// may be at work.
async fn is_absent(container: &Container) -> bool {
    let addresses = container.at.map_or_else(|| addresses(&container.url), |at| vec![at]);
    for address in addresses {
        let refused = match tokio::time::timeout(DEADLINE, TcpStream::connect(address)).await {
            Ok(Err(error)) => matches!(
                error.kind(),
                ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable
            ),
            _ => false,
        };
        if !refused {
            return false;
        }
    }
    true
}

fn status(answer: &Result<Answer, HttpError>) -> Option<u16> {
    answer.as_ref().ok().map(|answer| answer.status)
}

fn half(answer: Result<Answer, HttpError>, judge: fn(&Answer) -> Half) -> Half {
    answer.map_or_else(|error| Half::Odd(crate::sentence(&error)), |answer| judge(&answer))
}

fn judge_tracker(answer: &Answer) -> Half {
    match answer.status {
        200 => Half::On,
        503 | 204 => Half::Off,
        other => Half::Odd(format!("the tracker answered {other}")),
    }
}

fn judge_api(answer: &Answer) -> Half {
    let is_page = answer.body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'<')
        && !answer.body.starts_with(b"<?xml");
    match answer.status {
        401 => Half::On,
        503 => Half::Off,
        200 if version_in(&answer.body).is_some() => Half::On,
        // With several servers configured, Matomo says 200 to its balancer and shows its page of maintenance.
        200 if is_page => Half::Off,
        other => Half::Odd(format!("the API answered {other}, and not as Matomo does")),
    }
}

fn version(answer: &Result<Answer, HttpError>) -> Option<String> {
    version_in(&answer.as_ref().ok().filter(|answer| answer.status == 200)?.body)
}

fn version_in(body: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(body).ok()?;
    value["value"].as_str().map(str::to_owned)
}

/// Host and port of a URL, without user and password.
fn place(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let place = rest.split(['/', '?', '#']).next().unwrap_or_default();
    place.rsplit_once('@').map_or(place, |(_, place)| place)
}

fn host(url: &str) -> &str {
    match place(url).rsplit_once(':') {
        Some((host, digits)) if digits.parse::<u16>().is_ok() => host,
        _ => place(url),
    }
}

/// Every address that the host of a URL has: one for each container where the balancer is the name service.
fn addresses(url: &str) -> Vec<SocketAddr> {
    let port = if url.starts_with("https:") { 443 } else { 80 };
    let host_and_port = if host(url) == place(url) { format!("{}:{port}", place(url)) } else { place(url).to_owned() };
    let mut found: Vec<SocketAddr> = host_and_port.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    // A container with an address of each kind is one container.
    if found.iter().any(SocketAddr::is_ipv4) {
        found.retain(SocketAddr::is_ipv4);
    }
    found.sort_by_key(|address| match address.ip() {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    });
    found.dedup();
    found.truncate(CONTAINERS_MAX);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status,
            body: body.as_bytes().to_vec(),
            content_type: None,
            location: None,
            date: None,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn c7_04_each_answer_of_the_measured_table_is_understood() {
        assert_eq!(judge_tracker(&answer(200, "This resource is part of Matomo")), Half::On);
        assert_eq!(judge_tracker(&answer(503, "GIF89a")), Half::Off);
        assert_eq!(judge_tracker(&answer(204, "")), Half::Off);
        assert!(matches!(judge_tracker(&answer(502, "")), Half::Odd(_)));
        assert_eq!(judge_api(&answer(401, "{\"result\":\"error\"}")), Half::On);
        assert_eq!(judge_api(&answer(200, "{\"value\":\"5.0.2\"}")), Half::On);
        assert_eq!(judge_api(&answer(503, "<html>")), Half::Off);
        assert_eq!(judge_api(&answer(200, "\n<!DOCTYPE html>")), Half::Off);
        assert!(matches!(judge_api(&answer(500, "{}")), Half::Odd(_)));
        assert!(matches!(judge_api(&answer(200, "Error: database")), Half::Odd(_)));
    }

    #[test]
    fn an_address_is_looked_up_with_its_port() {
        assert_eq!(addresses("http://127.0.0.1:8080/piwik"), ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(addresses("https://u:p@127.0.0.1"), ["127.0.0.1:443".parse().unwrap()]);
        assert_eq!(addresses("http://[::1]:81"), ["[::1]:81".parse().unwrap()]);
        assert!(addresses("http://name.invalid").is_empty());
    }
}

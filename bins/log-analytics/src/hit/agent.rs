//! User agents: whether one is a bot, and its JSON ready to copy. Few of them make up most of a log, so the answers are
//! kept, in a bounded table.

use super::json::{self, Stray};

/// Parts of lower-cased user agents that mean a bot. The reference importer's list.
const BOTS: [&str; 29] = [
    "adsbot-google",
    "ask jeeves",
    "baidubot",
    "bot-",
    "bot/",
    "ccooter/",
    "crawl",
    "curl",
    "echoping",
    "exabot",
    "feed",
    "googlebot",
    "ia_archiver",
    "java/",
    "libwww",
    "mediapartners-google",
    "msnbot",
    "netcraftsurvey",
    "panopta",
    "pingdom.com_bot_",
    "robot",
    "spider",
    "surveybot",
    "twiceler",
    "voilabot",
    "yahoo",
    "yandex",
    "zabbix",
    "googlestackdrivermonitoring",
];

/// Places in the table; a power of two.
const PLACES: usize = 2048;

/// Longer user agents are judged each time, so that the table stays below about four MiB whatever the log holds.
const KEPT_BYTES_MAX: usize = 512;

/// What is known about a user agent.
#[derive(Debug)]
pub(super) struct Agent {
    text: Box<[u8]>,
    /// It contains a part that means a bot.
    pub(super) bot: bool,
    /// The inside of its JSON text.
    pub(super) json: Box<[u8]>,
    /// `["Bot","…"]` as the inside of a JSON text.
    pub(super) label: Box<[u8]>,
}

/// All that is known about user agents.
#[derive(Debug)]
pub(super) struct Agents {
    bots: Vec<String>,
    places: Vec<Option<Box<Agent>>>,
    long: Option<Box<Agent>>,
}

impl Agents {
    /// Nothing known yet; `more_bots` are further parts that mean a bot, in any case.
    pub(super) fn new(more_bots: &[String]) -> Self {
        let more = more_bots.iter().map(|part| part.to_lowercase());
        let bots = BOTS.into_iter().map(str::to_owned).chain(more).collect();
        Self {
            bots,
            places: std::iter::repeat_with(|| None).take(PLACES).collect(),
            long: None,
        }
    }

    /// What is known about the user agent `text`, whose hash is `hash`.
    pub(super) fn get(&mut self, hash: u64, text: &[u8]) -> &Agent {
        let place = match text.len() {
            0..=KEPT_BYTES_MAX => &mut self.places[hash as usize % PLACES],
            _ => &mut self.long,
        };
        if place.as_ref().is_some_and(|known| *known.text != *text) {
            *place = None;
        }
        place.get_or_insert_with(|| Box::new(Agent::new(text, &self.bots)))
    }
}

impl Agent {
    fn new(text: &[u8], bots: &[String]) -> Self {
        let lower = String::from_utf8_lossy(text).to_lowercase();
        let bot = bots.iter().any(|part| lower.contains(part));
        let mut escaped = Vec::with_capacity(text.len());
        json::push(&mut escaped, text, Stray::Replace);
        let mut label = Vec::with_capacity(text.len() + 20);
        label.extend_from_slice(if bot {
            br#"[\"Bot\",\""#
        } else {
            br#"[\"Not-Bot\",\""#
        });
        json::push_nested(&mut label, text);
        label.extend_from_slice(br#"\"]"#);
        Self {
            text: text.into(),
            bot,
            json: escaped.into(),
            label: label.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bot(more: &[String], text: &str) -> bool {
        Agents::new(more).get(0, text.as_bytes()).bot
    }

    #[test]
    fn bots_are_known_by_a_part_of_their_name() {
        for bot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1)",
            "curl/8.5.0",
            "YandexImages",
            "a bot/1",
            "Java/17",
        ] {
            assert!(is_bot(&[], bot), "{bot}");
        }
        for other in [
            "",
            "-",
            "CCBot",
            "Mozilla/5.0 (X11)",
            "python-requests/2.31.0",
            "Wget/1.2",
        ] {
            assert!(!is_bot(&[], other), "{other}");
        }
        assert!(is_bot(&["Python-Requests".into()], "PYTHON-requests/2"));
    }

    #[test]
    fn two_agents_in_one_place_do_not_mix() {
        let mut agents = Agents::new(&[]);
        assert!(agents.get(7, b"curl").bot);
        assert!(!agents.get(7, b"Mozilla").bot);
        assert!(agents.get(7, b"curl").bot);
        let long = "x".repeat(KEPT_BYTES_MAX + 1);
        assert_eq!(&*agents.get(7, long.as_bytes()).json, long.as_bytes());
        assert_eq!(&*agents.get(7, b"curl").json, b"curl");
    }
}

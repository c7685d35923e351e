//! User agents: whether one is a bot, and its JSON ready to copy. Few of them make up most of a log, so the answers are
//! kept, in a bounded table.

use std::rc::Rc;

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

/// Parts of user agents that mean an AI service: data, one a line.
const AI_CRAWLERS: &str = include_str!("ai_crawlers.txt");

/// Pairs of places in the table.
const PAIRS: usize = 1024;

/// Longer user agents are judged each time, so that the table stays below about four MiB whatever the log holds.
const KEPT_BYTES_MAX: usize = 512;

/// How hits tell what kind of user agent they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    /// Not at all.
    None,
    /// As the only visit variable.
    Alone,
    /// As one visit variable among others.
    AmongOthers,
}

/// What kind of user agent it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing says otherwise.
    Human,
    /// By the reference importer's list, or the operator's.
    Bot,
    /// A crawler or fetcher of an AI service; the reference knows only some of them as bots.
    Ai,
}

impl Class {
    /// The word for a dimension.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Bot => "bot",
            Self::Ai => "ai",
        }
    }
}

/// What is known about a user agent.
#[derive(Debug)]
pub(super) struct Agent {
    text: Box<[u8]>,
    /// It contains a part that means a bot.
    pub(super) bot: bool,
    /// What kind it is.
    pub(super) class: Class,
    /// `"ua":"…"`, `_cvar` if the label stands in it alone, and what follows every user agent.
    pub(super) json: Box<[u8]>,
    /// `["Bot","…"]` as the inside of a JSON text, if the label stands among others.
    pub(super) label: Box<[u8]>,
}

/// All that is known about user agents.
#[derive(Debug)]
pub(super) struct Agents {
    bots: Vec<String>,
    style: Label,
    after: &'static [u8],
    /// Of each pair the one asked for last stands first: two agents that share a pair do not drive each other out.
    pairs: Vec<[Option<Rc<Agent>>; 2]>,
    long: Option<Rc<Agent>>,
}

impl Agents {
    /// Nothing known yet; `more_bots` are further parts that mean a bot, in any case. `after` follows the JSON of each.
    pub(super) fn new(more_bots: &[String], style: Label, after: &'static [u8]) -> Self {
        let more = more_bots.iter().map(|part| part.to_lowercase());
        let bots = BOTS.into_iter().map(str::to_owned).chain(more).collect();
        Self { bots, style, after, pairs: vec![[None, None]; PAIRS], long: None }
    }

    /// What is known about the user agent `text`, whose hash is `hash`.
    pub(super) fn get(&mut self, hash: u64, text: &[u8]) -> &Rc<Agent> {
        let is_other = |place: &Option<Rc<Agent>>| place.as_ref().is_none_or(|known| *known.text != *text);
        let place = if text.len() <= KEPT_BYTES_MAX {
            let pair = &mut self.pairs[hash as usize % PAIRS];
            if is_other(&pair[0]) {
                pair.swap(0, 1);
                pair[0].take_if(|known| *known.text != *text);
            }
            &mut pair[0]
        } else {
            self.long.take_if(|known| *known.text != *text);
            &mut self.long
        };
        place.get_or_insert_with(|| Rc::new(Agent::new(text, &self.bots, self.style, self.after)))
    }
}

impl Agent {
    fn new(text: &[u8], bots: &[String], style: Label, after: &[u8]) -> Self {
        let lower = String::from_utf8_lossy(text).to_lowercase();
        let bot = bots.iter().any(|part| lower.contains(part));
        let class = match ai_crawlers().any(|part| lower.contains(part)) {
            true => Class::Ai,
            false if bot => Class::Bot,
            false => Class::Human,
        };
        let label = if style == Label::None { Vec::new() } else { label(text, bot) };
        let mut json = Vec::with_capacity(text.len() + label.len() + after.len() + 40);
        json.extend_from_slice(br#""ua":""#);
        json::push(&mut json, text, Stray::Replace);
        json.push(b'"');
        if style == Label::Alone {
            json.extend_from_slice(br#","_cvar":"{\"1\":"#);
            json.extend_from_slice(&label);
            json.extend_from_slice(br#"}""#);
        }
        json.extend_from_slice(after);
        let label = if style == Label::AmongOthers { label } else { Vec::new() };
        Self { text: text.into(), bot, class, json: json.into(), label: label.into() }
    }
}

fn ai_crawlers() -> impl Iterator<Item = &'static str> {
    AI_CRAWLERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn label(text: &[u8], bot: bool) -> Vec<u8> {
    let mut label = Vec::with_capacity(text.len() + 20);
    label.extend_from_slice(if bot { br#"[\"Bot\",\""# } else { br#"[\"Not-Bot\",\""# });
    json::push_nested(&mut label, text);
    label.extend_from_slice(br#"\"]"#);
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bot(more: &[String], text: &str) -> bool {
        Agents::new(more, Label::Alone, b"").get(0, text.as_bytes()).bot
    }

    #[test]
    fn bots_are_known_by_a_part_of_their_name() {
        for bot in ["Mozilla/5.0 (compatible; Googlebot/2.1)", "curl/8.5.0", "YandexImages", "a bot/1", "Java/17"] {
            assert!(is_bot(&[], bot), "{bot}");
        }
        for other in ["", "-", "CCBot", "Mozilla/5.0 (X11)", "python-requests/2.31.0", "Wget/1.2"] {
            assert!(!is_bot(&[], other), "{other}");
        }
        assert!(is_bot(&["Python-Requests".into()], "PYTHON-requests/2"));
    }

    #[test]
    fn crawlers_of_ai_services_are_a_class_of_their_own() {
        let mut agents = Agents::new(&[], Label::None, b"");
        let mut class = |text: &str| agents.get(0, text.as_bytes()).class;
        assert_eq!(class("Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)"), Class::Ai);
        assert_eq!(class("CCBot"), Class::Ai);
        assert_eq!(class("Googlebot/2.1"), Class::Bot);
        assert_eq!(class("Mozilla/5.0 (X11)"), Class::Human);
        assert!(ai_crawlers().all(|part| part == part.to_lowercase() && part == part.trim()));
    }

    #[test]
    fn two_agents_in_one_place_do_not_mix() {
        let mut agents = Agents::new(&[], Label::None, b"");
        assert!(agents.get(7, b"curl").bot);
        assert!(!agents.get(7, b"Mozilla").bot);
        assert!(agents.get(7, b"curl").bot);
        let long = "x".repeat(KEPT_BYTES_MAX + 1);
        assert_eq!(&*agents.get(7, long.as_bytes()).json, format!("\"ua\":\"{long}\"").as_bytes());
        assert_eq!(&*agents.get(7, b"curl").json, br#""ua":"curl""#);
    }
}

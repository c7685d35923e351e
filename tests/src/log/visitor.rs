//! Who comes by: people with a browser and an address, and programs that call themselves otherwise.

use super::{HOST, Line};
use crate::random::Random;

/// What kind of request a line is, as Matomo's importer tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A page that was shown.
    Page,
    /// A file that people count as a download.
    Download,
    /// A picture, script or style sheet.
    Static,
    /// Status 4xx or 5xx.
    Failure,
    /// Status 301 or 302.
    Redirect,
    /// A request by a program, whatever it asked for.
    Bot,
}

const BROWSERS: [&str; 5] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148",
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
];
const BOTS: [&str; 3] = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)",
    "curl/8.5.0",
];
const PLACES: [&str; 6] =
    ["/", "/themes/air", "/themes/water", "/publications", "/data-and-maps/indicators", "/countries"];
const DOWNLOADS: [&str; 3] = ["/publications/report.pdf", "/data/table.csv", "/data/archive.zip"];
const ASSETS: [&str; 3] = ["/style/main.css", "/js/app.js", "/images/logo.png"];

/// Someone who asks for several things in a row.
#[derive(Debug, Clone)]
pub struct Visitor {
    address: String,
    agent: &'static str,
    is_bot: bool,
    came_from: String,
}

impl Visitor {
    /// Somebody new, from an address range that documentation may use.
    pub fn arriving(random: &mut Random) -> Self {
        let is_bot = random.chance(0.12);
        let agent = if is_bot { random.pick(&BOTS) } else { random.pick(&BROWSERS) };
        let address = if random.chance(0.2) {
            format!("2001:db8:{:x}::{:x}", random.below(0xffff), 1 + random.below(0xfffe))
        } else {
            format!("{}.{}", random.pick(&["192.0.2", "198.51.100", "203.0.113"]), 1 + random.below(254))
        };
        let came_from = random.pick(&["", "https://search.example.com/?q=air", "https://news.example.net/"]);
        Self { address, agent, is_bot, came_from: (*came_from).to_owned() }
    }

    /// The next thing this visitor asks for.
    pub fn request(&mut self, number: u64, second: i64, random: &mut Random) -> Line {
        let (mut kind, place, status) = match random.below(100) {
            0..48 => (Kind::Page, random.pick(&PLACES), 200),
            48..56 => (Kind::Download, random.pick(&DOWNLOADS), 200),
            56..86 => (Kind::Static, random.pick(&ASSETS), 200),
            86..93 => (Kind::Failure, random.pick(&PLACES), *random.pick(&[403, 404, 500])),
            _ => (Kind::Redirect, random.pick(&PLACES), *random.pick(&[301, 302])),
        };
        let path = format!("{place}?n={number}");
        let referrer = self.came_from.clone();
        if kind == Kind::Page {
            self.came_from = format!("https://{HOST}{path}");
        }
        if self.is_bot {
            kind = Kind::Bot;
        }
        let (address, agent) = (self.address.clone(), self.agent.to_owned());
        Line { number, second, address, agent, path, referrer, status, bytes: 200 + random.mostly_low(90_000), kind }
    }
}

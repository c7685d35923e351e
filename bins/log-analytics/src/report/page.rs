//! The page: one file without anything from elsewhere, readable by day and by night and on paper.

use std::fmt::Write;

use jiff::Timestamp;

use super::chart::{DAYS, chart};
use super::markup::{element, text};
use super::verdict::{Mood, Remark, ago, counted, mood, number};
use super::{Report, SiteStanding};
use crate::discover::SiteId;

const STYLE: &str = include_str!("style.css");
/// Files named under a site; `status` names all.
const FILES_MAX: usize = 20;

/// Draws the report as an HTML document.
pub fn page(report: &Report) -> String {
    let own = report.remarks();
    let mut sites: Vec<(Mood, SiteId, String)> = report.sites.iter().map(|site| card(report, site)).collect();
    let worst = sites.iter().map(|(mood, ..)| *mood).chain([mood(&own)]).max().unwrap_or(Mood::Well);
    let title = headline(worst, &sites, &own);
    // Who needs a person comes first.
    sites.sort_by_key(|(mood, site, _)| (std::cmp::Reverse(*mood), *site));
    let mut out = String::with_capacity(16 * 1024);
    // Writing to a text cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <style>{STYLE}</style></head><body>\n<header>",
        text(&title)
    );
    element(&mut out, "p", "brand", "Matomo log import");
    let _ = write!(out, "<div class=\"verdict {}\">{}<div>", class(worst), sign(worst));
    element(&mut out, "h1", "title", &title);
    element(&mut out, "p", "times", &times(report));
    out.push_str("</div></div>");
    remarks(&mut out, &own);
    out.push_str("</header>\n<main>\n");
    sites.iter().for_each(|(_, _, card)| out.push_str(card));
    out.push_str("</main>\n");
    let version = env!("CARGO_PKG_VERSION");
    element(
        &mut out,
        "footer",
        "foot",
        &format!(
            "log-analytics {version}. Days are those of each site in Matomo; the page shows the state at the time it was written."
        ),
    );
    out.push_str("\n</body></html>\n");
    out
}

fn headline(worst: Mood, sites: &[(Mood, SiteId, String)], own: &[Remark]) -> String {
    let with = |wanted| sites.iter().filter(|(mood, ..)| *mood == wanted).count() as u64;
    match worst {
        Mood::Well => "All is well".to_owned(),
        Mood::Act if mood(own) == Mood::Act => "The import needs a person".to_owned(),
        Mood::Act => {
            format!("{} {} a person", counted(with(worst), "site"), if with(worst) == 1 { "needs" } else { "need" })
        }
        Mood::Look if with(worst) == 0 => "Nothing to import yet".to_owned(),
        Mood::Look => format!("{} worth a look", counted(with(worst), "site")),
    }
}

fn times(report: &Report) -> String {
    let next = report.next_pass.map_or_else(|| "none".to_owned(), |next| moment(report, next));
    format!("As of {}. Next pass {next}, {}.", moment(report, report.now), report.schedule)
}

fn card(report: &Report, site: &Result<SiteStanding, (SiteId, String)>) -> (Mood, SiteId, String) {
    let mut out = String::from("<section>");
    let (mood, site) = match site {
        Ok(standing) => {
            let found = standing.remarks(report.now);
            head(&mut out, standing.site, mood(&found));
            remarks(&mut out, &found);
            body(&mut out, report, standing);
            (mood(&found), standing.site)
        }
        Err((site, why)) => {
            head(&mut out, *site, Mood::Act);
            let what = "Its ledger cannot be read".to_owned();
            remarks(&mut out, &[Remark { mood: Mood::Act, what, help: why.clone() }]);
            (Mood::Act, *site)
        }
    };
    out.push_str("</section>\n");
    (mood, site, out)
}

fn head(out: &mut String, site: SiteId, mood: Mood) {
    out.push_str("<div class=\"head\">");
    element(out, "h2", "site", &format!("Site {site}"));
    element(out, "span", &format!("pill {}", class(mood)), words(mood));
    out.push_str("</div>");
}

fn body(out: &mut String, report: &Report, site: &SiteStanding) {
    let today = report.now.to_zoned(report.zone.clone()).date();
    element(out, "p", "caption", &format!("Imported hits by day, {DAYS} days"));
    out.push_str(&chart(&site.hits_by_day, today));
    out.push_str("<dl>");
    let since = |moment: Timestamp| match report.now.duration_since(moment) {
        age if age.as_secs() < 60 => "just now".to_owned(),
        age => format!("{} ago", ago(age)),
    };
    let when = |label: &str, at: Option<Timestamp>, out: &mut String| match at {
        Some(at) => fact(out, label, &since(at), &moment(report, at)),
        None => fact(out, label, "never", ""),
    };
    when("Logs last arrived", site.last_log.max(site.last_changed), out);
    if site.last_fetched.is_some() {
        when("Last fetched", site.last_fetched, out);
    }
    when("Last import", site.last_import, out);
    when("Newest hit", site.last_hit, out);
    let backlog = if site.waiting == 0 { String::new() } else { bytes(site.waiting_bytes) };
    fact(out, "Waiting", &counted(site.waiting, "file"), &backlog);
    let being_written = match site.being_written {
        0 => String::new(),
        count => format!("{} being written", number(count)),
    };
    fact(out, "Imported", &counted(site.imported, "file"), &being_written);
    fact(out, "Hits in all", &number(site.hits), &counted(site.lines, "line"));
    let rate =
        site.hits_per_second.map_or_else(|| "-".to_owned(), |rate| format!("{} hits/s", number(rate.round() as u64)));
    fact(out, "Rate", &rate, "in the last turn");
    fact(out, "Given up", &counted(site.quarantined.len() as u64, "file"), "");
    fact(out, "Set aside", &counted(site.set_aside_lines as u64, "line"), "");
    if site.days_to_invalidate > 0 {
        fact(out, "To be computed again", &counted(site.days_to_invalidate as u64, "day"), "in the quiet hours");
    }
    if let Some(taken) = &site.taken_over {
        let given_up = format!("{} given up", counted(taken.given_up, "file"));
        fact(out, "From the shell image", &counted(taken.imported, "file"), &given_up);
    }
    out.push_str("</dl>");
    let quarantined = site.quarantined.iter().map(|one| (one.file.as_str(), one.why.clone()));
    files(out, "Files given up", quarantined);
    let failing = site
        .failing
        .iter()
        .map(|one| (one.file.as_str(), format!("failed {}", counted(u64::from(one.attempts), "time"))));
    files(out, "Files that will be tried again", failing);
}

fn fact(out: &mut String, label: &str, value: &str, beside: &str) {
    let _ = write!(out, "<div><dt>{}</dt><dd>{}<small>{}</small></dd></div>", text(label), text(value), text(beside));
}

fn files<'f>(out: &mut String, title: &str, files: impl ExactSizeIterator<Item = (&'f str, String)>) {
    let count = files.len();
    if count == 0 {
        return;
    }
    element(out, "h3", "list", title);
    out.push_str("<ul class=\"files\">");
    for (path, why) in files.take(FILES_MAX) {
        // The path leads, so the reason need not repeat it.
        let why = why.replace(path, "it");
        let _ = write!(out, "<li><code>{}</code><span>{}</span></li>", text(path), text(&why));
    }
    out.push_str("</ul>");
    if count > FILES_MAX {
        element(
            out,
            "p",
            "more",
            &format!("and {} more: log-analytics status names all", number((count - FILES_MAX) as u64)),
        );
    }
}

fn remarks(out: &mut String, remarks: &[Remark]) {
    if remarks.is_empty() {
        return;
    }
    out.push_str("<ul class=\"remarks\">");
    for Remark { mood, what, help } in remarks {
        let _ = write!(
            out,
            "<li class=\"{}\"><b>{}</b><span class=\"help\">{}</span></li>",
            class(*mood),
            text(what),
            text(help)
        );
    }
    out.push_str("</ul>");
}

fn moment(report: &Report, moment: Timestamp) -> String {
    moment.to_zoned(report.zone.clone()).strftime("%-d %b %Y %H:%M %Z").to_string()
}

fn bytes(count: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(size, _)| count >= *size);
    unit.map_or_else(|| counted(count, "byte"), |(size, unit)| format!("{:.1} {unit}", count as f64 / size as f64))
}

fn class(mood: Mood) -> &'static str {
    match mood {
        Mood::Well => "well",
        Mood::Look => "look",
        Mood::Act => "act",
    }
}

fn words(mood: Mood) -> &'static str {
    match mood {
        Mood::Well => "all is well",
        Mood::Look => "worth a look",
        Mood::Act => "needs a person",
    }
}

/// A sign that is told by its shape as well as by its colour.
fn sign(mood: Mood) -> String {
    let path = match mood {
        Mood::Well => "M15 27l8 8 15-17",
        Mood::Look => "M26 14v15M26 37v.1",
        Mood::Act => "M17 17l18 18M35 17L17 35",
    };
    format!(
        "<svg class=\"sign\" viewBox=\"0 0 52 52\" aria-hidden=\"true\"><circle cx=\"26\" cy=\"26\" r=\"25\"/><path d=\"{path}\"/></svg>"
    )
}

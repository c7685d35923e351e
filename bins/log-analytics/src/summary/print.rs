//! The printed summary. Scripts look for the words of the reference importer's summary, so these lines keep them.

use std::fmt::Write;
use std::time::Duration;

use super::Counts;
use crate::hit::Skip;

impl Counts {
    /// The summary as the reference prints it, after `elapsed` of work.
    #[must_use]
    pub fn text(&self, elapsed: Duration) -> String {
        let mut text = String::new();
        heading(&mut text, "Logs import summary");
        self.push_requests(&mut text);
        heading(&mut text, "Website import summary");
        self.push_sites(&mut text);
        heading(&mut text, "Performance summary");
        let seconds = elapsed.as_secs_f64();
        let speed = if seconds > 0.0 { self.recorded as f64 / seconds } else { 0.0 };
        push(&mut text, 4, &format!("Total time: {} seconds", elapsed.as_secs()));
        push(&mut text, 4, &format!("Requests imported per second: {speed:.2} requests per second"));
        if !self.samples.is_empty() {
            heading(&mut text, "Samples of ignored lines");
            self.samples().for_each(|(word, sample)| push(&mut text, 4, &format!("{word}: {sample}")));
        }
        text
    }

    fn push_requests(&self, text: &mut String) {
        let skipped = |reason| self.skipped(reason);
        // The reference counts a hit without a site here, below, and among those imported to sites.
        push(text, 4, &format!("{} requests imported successfully", self.recorded + self.no_site));
        push(text, 4, &format!("{} requests were downloads", self.downloads));
        push(text, 4, &format!("{} requests ignored:", self.ignored()));
        let extensions = "requests to file downloads did not match any --download-extensions";
        for (count, words) in [
            (skipped(Skip::HttpError), "HTTP errors"),
            (skipped(Skip::HttpRedirect), "HTTP redirects"),
            (self.invalid(), "invalid log lines"),
            (self.filtered(), "filtered log lines"),
            (self.no_site, "requests did not match any known site"),
            (skipped(Skip::Hostname), "requests did not match any --hostname"),
            (skipped(Skip::Bot), "requests done by bots, search engines..."),
            (skipped(Skip::Static), "requests to static resources (css, js, images, ico, ttf...)"),
            (skipped(Skip::Download), extensions),
        ] {
            push(text, 8, &format!("{count} {words}"));
        }
        for (count, words) in [
            (skipped(Skip::Path), "requests left out by --exclude-path or --include-path"),
            (self.held_back(), "requests held back: Matomo would count them at the time of the import"),
        ] {
            if count > 0 {
                push(text, 4, &format!("{count} {words}"));
            }
        }
    }

    fn push_sites(&self, text: &mut String) {
        push(text, 4, &format!("{} requests imported to {} sites", self.recorded + self.no_site, self.sites.len()));
        push(text, 8, &format!("{} sites already existed", self.sites_existing()));
        push(text, 8, &format!("{} sites were created:", self.sites_created.len()));
        for (host, id) in &self.sites_created {
            push(text, 12, &format!("{host} (ID: {id})"));
        }
        let ignored = self.hostnames_ignored.len();
        push(text, 4, &format!("{ignored} distinct hostnames did not match any existing site:"));
        for host in &self.hostnames_ignored {
            push(text, 8, host);
        }
    }
}

fn heading(text: &mut String, words: &str) {
    let gap = if text.is_empty() { "" } else { "\n" };
    // Writing to a text cannot fail.
    let _ = write!(text, "{gap}{words}\n{}\n\n", "-".repeat(words.len()));
}

fn push(text: &mut String, indent: usize, words: &str) {
    let _ = writeln!(text, "{:indent$}{words}", "");
}

//! What `check` found out, for a person to read from top to bottom.

use crate::entry::{Exit, Failure};
use crate::words::sentence;

/// Findings so far, in the order in which they were made.
#[derive(Debug, Default)]
pub struct Findings {
    text: String,
    fault: Option<Exit>,
}

impl Findings {
    /// Something is as it should be.
    pub fn good(&mut self, what: &str) {
        self.text.push_str(&format!("ok      {what}\n"));
    }

    /// Something works and could be better.
    pub fn advice(&mut self, what: &str) {
        self.text.push_str(&format!("advice  {what}\n"));
    }

    /// Something does not work, and what to do about it.
    pub fn fault(&mut self, exit: Exit, what: &str, help: &str) {
        self.text.push_str(&format!("FAULT   {what}\n        {help}\n"));
        self.fault.get_or_insert(exit);
    }

    /// The same for what would end the program.
    pub fn failure(&mut self, failure: &Failure) {
        let what = sentence(failure.error.as_ref());
        self.fault(failure.exit, &what, failure.help.as_deref().unwrap_or_default());
    }

    /// All of them, one or two lines each.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How the program ends: as the first fault says.
    pub fn exit(&self) -> Exit {
        self.fault.unwrap_or(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_fault_decides_how_the_program_ends() {
        let mut findings = Findings::default();
        findings.good("settings can be used");
        assert_eq!(findings.exit(), Exit::Done);
        findings.fault(Exit::Unavailable, "no answer", "start the server");
        findings.failure(&Failure::new(Exit::Config, std::io::Error::other("no folder")).help("make it"));
        assert_eq!(findings.exit(), Exit::Unavailable);
        let lines: Vec<&str> = findings.text().lines().collect();
        let expected = [
            "ok      settings can be used",
            "FAULT   no answer",
            "        start the server",
            "FAULT   no folder",
            "        make it",
        ];
        assert_eq!(lines, expected);
    }
}

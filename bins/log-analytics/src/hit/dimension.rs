//! Custom dimensions: any field, or what kind of user agent asked, as `dimensionN` of a hit.

use super::agent::Agent;
use super::group::Group;
use super::json::{self, Stray};
use super::judge::Judged;

/// The word for the kind of user agent, in `--dimension N=agent_class`.
const AGENT_CLASS: &str = "agent_class";

/// A dimension of Matomo, and what fills it.
#[derive(Debug)]
pub(super) struct Dimension {
    /// `,"dimensionN":"`
    opening: String,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A field of the record.
    Field(Group),
    /// `human`, `bot` or `ai`.
    AgentClass,
}

impl Dimension {
    /// Dimension `number`, filled by the field of this name.
    pub(super) fn new(number: u32, field: &str) -> Self {
        let source = if field == AGENT_CLASS { Source::AgentClass } else { Source::Field(Group::from_name(field)) };
        Self { opening: format!(",\"dimension{number}\":\""), source }
    }

    /// Appends the dimension, unless the line has nothing for it.
    pub(super) fn push(&self, out: &mut Vec<u8>, hit: &Judged<'_>, agent: &Agent) {
        let text = match &self.source {
            Source::AgentClass => agent.class.word().as_bytes(),
            Source::Field(group) => match group.text(hit.record) {
                None | Some(b"" | b"-") => return,
                Some(text) => text,
            },
        };
        out.extend_from_slice(self.opening.as_bytes());
        json::push(out, text, Stray::Replace);
        out.push(b'"');
    }
}

//! The number of a Matomo site, which is also the name of its folder.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Matomo site (its `idsite`), 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SiteId(pub u32);

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SiteId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(number) if number > 0 && !text.starts_with(['+', '0']) => Ok(Self(number)),
            _ => Err("a site id is a whole number from 1 on"),
        }
    }
}

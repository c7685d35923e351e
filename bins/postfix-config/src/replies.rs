//! A reply of the relay that Postfix would take for the last word: 530, "log in first". It means that a login or its
//! encryption is missing, which is mended in a minute, while returned mail is lost; so mail waits instead.

/// Name of the file.
pub const NAME: &str = "replies";

/// A table of Postfix: pattern and what is read in its place.
pub const TABLE: &str = "\
# Written by postfix-config at every start, because of MTP_RELAY; edits are lost.
# The relay wants a login: mail waits until it gets one, instead of being returned.
/^530([- ])5(\\.[0-9]+\\.[0-9]+ .*)/  430${1}4${2} (530)
/^530([- ].*)/                     430${1} (530)
";

//! Headers that describe the inside of an installation, removed from what leaves.

/// Name of the file.
pub const NAME: &str = "header_privacy";

/// A table of Postfix: pattern and action. Names are compared without regard to case.
pub const TABLE: &str = "\
# Written by postfix-config at every start, because of MTP_HEADER_PRIVACY; edits are lost.
/^Received:/                  IGNORE
/^X-Originating-IP:/          IGNORE
/^X-Mailer:/                  IGNORE
/^User-Agent:/                IGNORE
/^X-PHP-Originating-Script:/  IGNORE
/^X-PHP-Script:/              IGNORE
";

//! One sender for all (`MTP_SENDER`), as two tables of Postfix: one for the envelope, one for the headers that say who
//! wrote a message.
//!
//! The empty sender of a notice of failure stays empty: a notice with a sender would be answered by a notice when it is
//! refused, and so on without end. `Reply-To` stays: answers are for people. Postfix's own rewriting of headers
//! (`sender_canonical_classes = header_sender`) takes `Reply-To` and `Errors-To` along, so headers have a table here.

use crate::value::MailAddress;

/// Name of the file about the envelope: a table that is asked for the address of each sender.
pub const ENVELOPE_NAME: &str = "sender";
/// Name of the file about headers: a table of header checks.
pub const HEADERS_NAME: &str = "sender_headers";

/// The table about the envelope. Postfix's own messages to the postmaster are from `double-bounce`, the sign by which
/// it knows that they must not be answered; they keep it.
pub fn envelope(sender: &MailAddress) -> String {
    format!(
        "\
# Written by postfix-config at every start, because of MTP_SENDER; edits are lost.
# An empty sender, which is no address, is the mark of a notice of failure that must not be answered by another one.
if !/^double-bounce@/
/.@/  {sender}
endif
"
    )
}

/// The table about headers. A name that stands before or after one address is kept; of several addresses one is left.
pub fn headers(sender: &MailAddress) -> String {
    format!(
        "\
# Written by postfix-config at every start, because of MTP_SENDER; edits are lost.
/^(From|Sender):[[:space:]]*((\"([^\"\\\\]|\\\\.)*\"|[^\"<>,;()])*)<[^<>]*>[[:space:]]*$/  REPLACE $1: $2<{sender}>
/^(From|Sender):[[:space:]]*[^[:space:]\"<>,;()]+[[:space:]]*(\\([^()]*\\))[[:space:]]*$/  REPLACE $1: {sender} $2
/^(From|Sender):/  REPLACE $1: {sender}
"
    )
}

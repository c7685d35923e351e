//! Refusals of the relay that are about us and not about a recipient: "log in first", "relaying denied", "you may not
//! send as this sender". Postfix would take them for the last word and return the mail, and with it every message that
//! comes until somebody mends the login. So mail waits instead, and is returned when it has waited too long.
//!
//! Relays say it with many numbers and in any words (RFC 4954 says 530), some on a line before the last one. So what is
//! judged is the whole verdict of Postfix: status code, everything the relay said, and to which command.

/// Name of the file.
pub const NAME: &str = "replies";

/// Words about a login or about relaying, as words of their own: addresses and host names may hold such letters.
const WORDS: &str = "(auth[a-z]*|autenti[a-z]*|anmeld[a-z]*|log(in|on|ged)|(log|sign)(ged)?[ -](in|on)|sasl|credentials?|\
                     passwords?|relay(ing)?|rcpthosts|starttls|tls|encrypt[a-z]*|permitted|#5\\.7\\.[0-9]+)";
/// Where a word may begin and end.
const EDGES: (&str, &str) = ("[^[:alnum:]@.<_+-]", "([^[:alnum:]@_+-]|$)");

/// A table of Postfix: its verdict on a delivery, `5.7.1 host … said: … (in reply to … command)`, and what is taken for
/// it. A status that begins with 4 makes the message wait.
pub fn table() -> String {
    let (begin, end) = EDGES;
    let rules = [
        // A relay that does not even say hello refuses us.
        "5(\\..* refused to talk to me: .*)".to_owned(),
        // The codes that RFC 4954 and RFC 3207 have for a missing login or missing encryption, and 503 for a wrong order.
        "5(\\..* said: 5(03|30|34|35|38)[ -].*)".to_owned(),
        // Status codes of rules and rights (RFC 3463, X.7), but not for what a message holds.
        "5(\\.7\\..* \\(in reply to (MAIL FROM|RCPT TO|DATA) command\\))".to_owned(),
        // Before a recipient is named, all but the address of the sender and the size of the message is about us.
        "5(\\.(0\\.0|5\\.[0-9]+) .* said: 5(0[02-9]|[1-4].|5[014-9]|[6-9].)[ -].* \\(in reply to MAIL FROM command\\))"
            .to_owned(),
        // Words count where no status code says that the address is wrong.
        format!("5(\\.[02-9]\\..* said: .*{begin}{WORDS}{end}.* \\(in reply to (MAIL FROM|RCPT TO|DATA) command\\))"),
    ];
    let head = "\
# Written by postfix-config at every start, because of MTP_RELAY; edits are lost.
# What the relay refuses because of us, and not because of a recipient: mail waits until that is mended.
";
    rules.iter().fold(head.to_owned(), |text, rule| text + &format!("/^{rule}$/  4$1\n"))
}

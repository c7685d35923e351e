//! `master.cf`: the services of a relay, none of them in a chroot, and none that delivers to mailboxes.

use crate::value::Port;

/// Name of the file.
pub const NAME: &str = "master.cf";

const HEAD: &str = "\
# Written by postfix-config at every start; edits are lost.
# service  type  private unpriv  chroot  wakeup  maxproc command
";

/// A chroot would need copies of the files that name servers and certificates.
const SERVICES: &str = "\
pickup     unix  n       -       n       60      1       pickup
cleanup    unix  n       -       n       -       0       cleanup
qmgr       unix  n       -       n       300     1       qmgr
tlsmgr     unix  -       -       n       1000?   1       tlsmgr
rewrite    unix  -       -       n       -       -       trivial-rewrite
bounce     unix  -       -       n       -       0       bounce
defer      unix  -       -       n       -       0       bounce
trace      unix  -       -       n       -       0       bounce
verify     unix  -       -       n       -       1       verify
flush      unix  n       -       n       1000?   0       flush
proxymap   unix  -       -       n       -       -       proxymap
proxywrite unix  -       -       n       -       1       proxymap
smtp       unix  -       -       n       -       -       smtp
relay      unix  -       -       n       -       -       smtp
showq      unix  n       -       n       -       -       showq
error      unix  -       -       n       -       -       error
retry      unix  -       -       n       -       -       error
discard    unix  -       -       n       -       -       discard
anvil      unix  -       -       n       -       1       anvil
scache     unix  -       -       n       -       1       scache
postlog    unix-dgram n  -       n       -       1       postlogd
";

/// The text of `master.cf`.
pub fn render(port: Port) -> String {
    format!("{HEAD}{:<10} inet  n       -       n       -       -       smtpd\n{SERVICES}", port.to_string())
}

//! How a command ended, in words, and whether trying again is worth it.
//!
//! rsync ends with 12 or 255 at random when ssh fails (9 and 3 of 12 refused connections, rsync 3.5.0), so what ssh said
//! decides, and the number only where ssh said nothing.

use shared::entry::Exit;

/// The outcome of a command, as far as an operator acts differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did its work.
    Done,
    /// It did its work, and some files went away meanwhile.
    Vanished,
    /// Files went away meanwhile, and commands behind that did not run.
    CutShort,
    /// The other side does not answer, or the line broke.
    Unreachable,
    /// Some files could not be fetched.
    Partial,
    /// The server does not accept our key.
    KeyRefused,
    /// The server has another host key than the one we know.
    HostKeyChanged,
    /// The server's host key is not among those that were pinned.
    HostKeyUnknown,
    /// The server is too old: both sides have no algorithm in common.
    NoCommonAlgorithm,
    /// ssh does not use a private key that others may read.
    KeyExposed,
    /// This user is not in the list of users.
    NoSuchUser,
    /// The remote shell prints text of its own.
    ChattyShell,
    /// The rsync daemon has as many connections as it takes.
    DaemonBusy,
    /// The rsync daemon does not accept user and password.
    DaemonLogin,
    /// The rsync daemon has no module of that name.
    DaemonModule,
    /// The rsync daemon refuses for a reason of its own.
    DaemonRefuses,
    /// rsync is not there on the other side.
    RsyncMissing,
    /// A program is not there on this side.
    ProgramMissing,
    /// The command itself is wrong.
    Misused,
    /// The target goes through a symbolic link of somebody else.
    ForeignLink,
    /// A limit on deletions was reached, or an option is not supported.
    Withheld,
    /// The disk is full, or the target cannot be written.
    CannotWrite,
    /// It was stopped because it took longer than allowed.
    TimedOut,
    /// It was stopped because we were asked to stop.
    Stopped,
    /// A signal that we did not send ended it.
    Killed,
    /// It failed for a reason of its own.
    Failed,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// By itself.
    Exited(i32),
    /// By a signal.
    Signalled(i32),
    /// By us, at the limit of its time.
    TimedOut,
    /// By us, on the way out.
    Stopped,
}

impl Status {
    /// The number that a shell would report.
    pub fn code(self) -> i32 {
        match self {
            Status::Exited(code) => code,
            Status::Signalled(signal) => 128 + signal,
            Status::TimedOut => 124,
            Status::Stopped => 143,
        }
    }
}

/// What ssh, the remote shell and rsync say, and what it means. The first that is found counts, so the order matters:
/// a changed host key is reported with "verification failed" as well, and an exposed key ends in "permission denied".
const SAYINGS: &[(&str, Ending)] = &[
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", Ending::HostKeyChanged),
    ("Host key verification failed", Ending::HostKeyUnknown),
    // It ends in "permission denied" as well.
    ("no mutual signature", Ending::NoCommonAlgorithm),
    ("Unable to negotiate", Ending::NoCommonAlgorithm),
    ("Bad server host key", Ending::NoCommonAlgorithm),
    ("UNPROTECTED PRIVATE KEY FILE", Ending::KeyExposed),
    ("bad permissions", Ending::KeyExposed),
    ("No user exists for uid", Ending::NoSuchUser),
    // With an opening parenthesis come methods (`publickey`), or the number of an error of the system.
    ("Permission denied (publickey", Ending::KeyRefused),
    ("Permission denied (password", Ending::KeyRefused),
    ("Permission denied (keyboard", Ending::KeyRefused),
    ("Permission denied (gssapi", Ending::KeyRefused),
    ("Permission denied (hostbased", Ending::KeyRefused),
    ("Too many authentication failures", Ending::KeyRefused),
    ("is your shell clean?", Ending::ChattyShell),
    ("refusing to follow a symlink", Ending::ForeignLink),
    ("No space left on device", Ending::CannotWrite),
    ("Disk quota exceeded", Ending::CannotWrite),
    ("rsync: command not found", Ending::RsyncMissing),
    ("rsync: not found", Ending::RsyncMissing),
    ("rsync: No such file or directory", Ending::RsyncMissing),
    ("rsync error: remote command not found", Ending::RsyncMissing),
    // Of rsync's daemon, which then closes or resets the connection.
    ("@ERROR: max connections", Ending::DaemonBusy),
    ("@ERROR: auth failed", Ending::DaemonLogin),
    ("@ERROR: Unknown module", Ending::DaemonModule),
    ("@ERROR", Ending::DaemonRefuses),
    // A broken pipe often follows from one of those above.
    ("failed to lookup address", Ending::Unreachable),
    ("Could not resolve hostname", Ending::Unreachable),
    ("Connection refused", Ending::Unreachable),
    ("Connection timed out", Ending::Unreachable),
    ("No route to host", Ending::Unreachable),
    ("Network is unreachable", Ending::Unreachable),
    ("Connection closed", Ending::Unreachable),
    ("Connection reset", Ending::Unreachable),
    ("not responding", Ending::Unreachable),
    ("Broken pipe", Ending::Unreachable),
];

/// rsync's own table of exit codes.
const CODES: &[(i32, &str, Ending)] = &[
    (1, "syntax or usage error", Ending::Misused),
    (2, "protocol incompatibility", Ending::ChattyShell),
    (3, "errors selecting input and output files", Ending::Misused),
    (4, "requested action not supported", Ending::Withheld),
    (5, "error starting the client-server protocol", Ending::Misused),
    (6, "daemon unable to append to its log", Ending::Failed),
    (10, "error in socket I/O", Ending::Unreachable),
    (11, "error in file I/O", Ending::CannotWrite),
    (12, "error in the data stream", Ending::Unreachable),
    (13, "errors with program diagnostics", Ending::Failed),
    (14, "error in the communication with its own processes", Ending::ProgramMissing),
    (19, "stopped by a signal of a user", Ending::Unreachable),
    (20, "stopped by a signal", Ending::Killed),
    (21, "error of waiting for its processes", Ending::Unreachable),
    (22, "out of memory", Ending::Unreachable),
    (23, "partial transfer because of an error", Ending::Partial),
    (24, "source files vanished", Ending::Vanished),
    (25, "the limit of deletions stopped it", Ending::Withheld),
    (30, "timeout in data send or receive", Ending::Unreachable),
    (35, "timeout waiting for the daemon's connection", Ending::Unreachable),
];

/// Judges by the status, the words on the error stream, and whether the command runs rsync or ssh at all.
pub fn judge(status: Status, said: &str, is_rsync: bool) -> Ending {
    let code = match status {
        Status::Exited(0) => return Ending::Done,
        Status::Exited(code) => code,
        Status::Signalled(_) => return Ending::Killed,
        Status::TimedOut => return Ending::TimedOut,
        Status::Stopped => return Ending::Stopped,
    };
    match code {
        126 | 127 if !said.contains("rsync error") => return Ending::ProgramMissing,
        // A signal that reached the command, not the shell that reports it.
        129..=192 => return Ending::Killed,
        _ => {}
    }
    let is_ssh = is_rsync || code == 255;
    let says = |words: &str| said.contains(words);
    let found = SAYINGS.iter().find(|(words, _)| says(words)).map(|(_, ending)| *ending);
    // What a remote file system denies in passing is told by the codes of rsync; what ssh says is meant for these.
    let by_words = match code {
        12 | 255 | 127 | 126 | 2 | 3 | 5 | 10 | 11 | 14 | 30 | 35 => found,
        _ => None,
    };
    let by_code = || {
        let (_, _, ending) = CODES.iter().find(|(known, ..)| *known == code).filter(|_| is_rsync)?;
        Some(*ending)
    };
    let last = if is_ssh && code == 255 { Ending::Unreachable } else { Ending::Failed };
    by_words.filter(|_| is_ssh).or_else(by_code).unwrap_or(last)
}

/// A code in words, for the log: rsync's own where rsync ran.
pub fn in_words(status: Status, is_rsync: bool) -> String {
    match status {
        Status::Exited(0) => "0".to_owned(),
        Status::Exited(126) => "126 (not executable)".to_owned(),
        Status::Exited(127) => "127 (not found)".to_owned(),
        Status::Exited(255) => "255 (ssh failed)".to_owned(),
        Status::Exited(code) => match CODES.iter().find(|(known, ..)| *known == code).filter(|_| is_rsync) {
            Some((_, words, _)) => format!("{code} ({words})"),
            None => code.to_string(),
        },
        Status::Signalled(signal) => format!("{} (signal {signal})", 128 + signal),
        Status::TimedOut => "124 (took too long)".to_owned(),
        Status::Stopped => "143 (asked to stop)".to_owned(),
    }
}

impl Ending {
    /// Whether the command did its work.
    pub fn is_good(self) -> bool {
        matches!(self, Ending::Done | Ending::Vanished)
    }

    /// How many attempts are worth it, when `retries` more are allowed at all.
    pub fn attempts(self, retries: u32) -> u32 {
        match self {
            Ending::Unreachable | Ending::Partial | Ending::DaemonBusy => 1 + retries,
            // Room may be made, and a mode was just put right; more often it would only be noise.
            Ending::CannotWrite | Ending::KeyExposed => 1 + retries.min(1),
            _ => 1,
        }
    }

    /// One sentence: what happened.
    pub fn sentence(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Vanished => "done; some files went away while they were fetched",
            Ending::CutShort => "files went away while they were fetched, and what stands behind may not have run",
            Ending::Unreachable => "the server does not answer, or the connection broke",
            Ending::Partial => "some files could not be fetched",
            Ending::KeyRefused => "the server does not accept our key",
            Ending::HostKeyChanged => {
                "THE SERVER HAS ANOTHER HOST KEY THAN BEFORE: it was installed anew, or somebody in between poses as it"
            }
            Ending::HostKeyUnknown => "the server's host key is not among the known ones",
            Ending::NoCommonAlgorithm => "the server is too old: it speaks no algorithm that our ssh accepts by itself",
            Ending::DaemonBusy => "the rsync daemon has too many connections",
            Ending::DaemonLogin => "the rsync daemon does not accept the user or the password",
            Ending::DaemonModule => "the rsync daemon has no module of that name",
            Ending::DaemonRefuses => "the rsync daemon refuses",
            Ending::KeyExposed => "ssh does not use a private key that others may read",
            Ending::NoSuchUser => "the user of this container has no entry in /etc/passwd, and ssh refuses to run then",
            Ending::ChattyShell => "the remote shell prints text before rsync speaks",
            Ending::RsyncMissing => "rsync is not installed on the server, or not in its search path",
            Ending::ProgramMissing => "a program of this command is not installed here",
            Ending::Misused => "the command itself is wrong",
            Ending::ForeignLink => "the target goes through a symbolic link that belongs to another user",
            Ending::Withheld => "rsync stopped at a limit",
            Ending::CannotWrite => "the target cannot be written; the disk may be full",
            Ending::TimedOut => "it took longer than RSYNC_TIMEOUT",
            Ending::Stopped => "it was stopped because this program was asked to stop",
            Ending::Killed => "a signal ended it",
            Ending::Failed => "it failed",
        }
    }

    /// One sentence: what to do now. Nothing for what heals by itself.
    pub fn help(self) -> &'static str {
        match self {
            Ending::Done | Ending::Vanished | Ending::Stopped => "",
            Ending::Unreachable => {
                "look whether the server is up and the host and port are right; the next pass tries again"
            }
            Ending::Partial => {
                "read the lines above: a source that does not exist, or files that the remote user may not read"
            }
            Ending::KeyRefused => {
                "add the public key that is shown in this log to authorized_keys of the user on the server"
            }
            Ending::HostKeyChanged => {
                "ask who runs the server; only if the change is meant, remove its lines from known_hosts in SSH_DIR (ssh-keygen -R) or renew SSH_KNOWN_HOSTS"
            }
            Ending::HostKeyUnknown => {
                "add the server's line to SSH_KNOWN_HOSTS; `ssh-keyscan -p PORT HOST` shows it, compare it with the server's own"
            }
            Ending::CutShort => {
                "write `rsync` without its path: then files that vanish stop nothing; or `;` in place of `&&`"
            }
            Ending::NoCommonAlgorithm => "let the server be updated; ssh's own words above name what it speaks",
            Ending::DaemonBusy => {
                "nothing, if it happens now and then; else fetch at another time, or raise its max connections"
            }
            Ending::DaemonLogin => {
                "set RSYNC_PASSWORD in front of the command, or --password-file, and look at the user's name"
            }
            Ending::DaemonModule => {
                "correct the name behind rsync://HOST/; `rsync rsync://HOST/` lists those that it shows"
            }
            Ending::DaemonRefuses => "read its own words behind @ERROR above; who runs it decides which hosts may come",
            Ending::KeyExposed => {
                "chmod 600 the private key, or place it in SSH_DIR, where that is done at every start"
            }
            Ending::NoSuchUser => "run the container as 1000:1000, or mount an /etc/passwd with a line for its user",
            Ending::ChattyShell => {
                "remove output from the shell's start-up files (.bashrc and the like) of the user on the server"
            }
            Ending::RsyncMissing => "install rsync on the server, or name it with --rsync-path",
            Ending::ProgramMissing => "correct the command, or use an image that holds the program",
            Ending::Misused => "correct the command; rsync's own words above say what is wrong",
            Ending::ForeignLink => "give the link to the user of this container (chown -h), or name the real folder",
            Ending::Withheld => {
                "look at the source: did it lose files by mistake? then raise --max-delete once, or correct the options"
            }
            Ending::CannotWrite => {
                "make room on the volume of the logs, or give the folder to the user of this container"
            }
            Ending::TimedOut => "raise RSYNC_TIMEOUT if the amount is right, else look why the server is slow",
            Ending::Killed => "look who stopped it: the kernel does when memory runs out",
            Ending::Failed => "read what it said above",
        }
    }

    /// Whether a person must act, or time may heal it.
    pub fn needs_a_person(self) -> bool {
        let may_heal = matches!(self, Ending::Unreachable | Ending::Partial | Ending::DaemonBusy);
        !may_heal && !self.is_good() && self != Ending::Stopped
    }

    /// The exit code of a pass that ended so.
    pub fn exit(self) -> Exit {
        match self {
            Ending::Done | Ending::Vanished => Exit::Done,
            Ending::Unreachable | Ending::DaemonBusy => Exit::Unavailable,
            Ending::TimedOut => Exit::TimedOut,
            Ending::Stopped => Exit::Code(143),
            Ending::Misused | Ending::ProgramMissing | Ending::DaemonModule => Exit::Config,
            _ => Exit::Failed,
        }
    }
}

/// The exit code of several commands: the worst, by what a person has to do.
pub fn worst(endings: impl IntoIterator<Item = Ending>) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Code(_) => 1,
        Exit::Unavailable => 2,
        Exit::TimedOut => 3,
        Exit::Config => 4,
        _ => 5,
    };
    endings.into_iter().map(Ending::exit).max_by_key(|exit| rank(*exit)).unwrap_or(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(code: i32, said: &str) -> Ending {
        judge(Status::Exited(code), said, true)
    }

    #[test]
    fn what_ssh_says_decides_whatever_the_number() {
        for code in [12, 255] {
            for (said, ending) in [
                ("ssh: connect to host x port 22: Connection refused", Ending::Unreachable),
                ("ssh: Could not resolve hostname x: Name or service not known", Ending::Unreachable),
                ("Connection timed out during banner exchange", Ending::Unreachable),
                ("Timeout, server 10.0.0.1 not responding.", Ending::Unreachable),
                ("root@x: Permission denied (publickey,password).", Ending::KeyRefused),
                (
                    "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                    Ending::HostKeyChanged,
                ),
                ("No ED25519 host key is known for x\nHost key verification failed.", Ending::HostKeyUnknown),
                ("@ WARNING: UNPROTECTED PRIVATE KEY FILE! @\nPermission denied (publickey).", Ending::KeyExposed),
                ("No user exists for uid 4711", Ending::NoSuchUser),
                ("bash: line 1: rsync: command not found", Ending::RsyncMissing),
                ("rsync: connection unexpectedly closed (0 bytes received so far)", Ending::Unreachable),
                ("", Ending::Unreachable),
            ] {
                assert_eq!(judged(code, said), ending, "{code} {said}");
            }
        }
    }

    #[test]
    fn an_old_server_is_not_called_a_dead_one() {
        for said in [
            "Unable to negotiate with 10.0.0.1 port 22: no matching host key type found. Their offer: ssh-rsa",
            "Unable to negotiate with 10.0.0.1 port 22: no matching cipher found. Their offer: aes128-cbc\nConnection closed",
            "sign_and_send_pubkey: no mutual signature supported\nroot@x: Permission denied (publickey).",
            "ssh_dispatch_run_fatal: Connection to 10.0.0.1 port 22: Bad server host key: Invalid key length",
        ] {
            for code in [12, 255] {
                assert_eq!(judged(code, said), Ending::NoCommonAlgorithm, "{said}");
            }
        }
        assert_eq!(Ending::NoCommonAlgorithm.attempts(2), 1);
    }

    #[test]
    fn a_daemon_is_judged_by_its_own_words() {
        let reset = "rsync: [Receiver] read error: Connection reset by peer (104)\n";
        for (said, ending) in [
            ("@ERROR: max connections (1) reached -- try again later", Ending::DaemonBusy),
            ("@ERROR: auth failed on module p", Ending::DaemonLogin),
            ("@ERROR: Unknown module 'nosuch'", Ending::DaemonModule),
            ("@ERROR: access denied to x from localhost (127.0.0.1)", Ending::DaemonRefuses),
            ("@ERROR: chdir failed", Ending::DaemonRefuses),
        ] {
            assert_eq!(judged(5, &format!("{reset}{said}")), ending, "{said}");
        }
        assert_eq!(judged(5, ""), Ending::Misused);
        assert_eq!((Ending::DaemonBusy.attempts(2), Ending::DaemonLogin.attempts(2)), (3, 1));
        assert_eq!((Ending::DaemonBusy.exit(), Ending::DaemonModule.exit()), (Exit::Unavailable, Exit::Config));
    }

    #[test]
    fn rsync_codes_decide_where_ssh_is_silent() {
        let denied = "rsync: send_files failed to open \"/x\": Permission denied (13)";
        assert_eq!(judged(23, denied), Ending::Partial);
        assert_eq!(judged(24, ""), Ending::Vanished);
        assert_eq!(
            judged(11, "write failed: No space left on device (28)\nwrite error: Broken pipe (32)"),
            Ending::CannotWrite
        );
        assert_eq!(judged(1, "unknown option"), Ending::Misused);
        assert_eq!(judged(3, "refusing to follow a symlink owned by an untrusted user"), Ending::ForeignLink);
        assert_eq!(judged(25, ""), Ending::Withheld);
        assert_eq!(judged(2, "protocol version mismatch -- is your shell clean?"), Ending::ChattyShell);
        assert_eq!(judged(127, "sh: 1: rsink: not found"), Ending::ProgramMissing);
        assert_eq!(
            judged(127, "sh: 1: rsync: not found\nrsync error: remote command not found (code 127)"),
            Ending::RsyncMissing
        );
    }

    #[test]
    fn other_programs_have_other_tables() {
        assert_eq!(judge(Status::Exited(23), "", false), Ending::Failed);
        assert_eq!(judge(Status::Exited(1), "Connection refused", false), Ending::Failed);
        assert_eq!(in_words(Status::Exited(23), false), "23");
        assert_eq!(in_words(Status::Exited(23), true), "23 (partial transfer because of an error)");
    }

    #[test]
    fn only_what_may_heal_is_tried_again() {
        assert_eq!(Ending::Unreachable.attempts(2), 3);
        assert_eq!(Ending::CannotWrite.attempts(2), 2);
        assert_eq!(Ending::CannotWrite.attempts(0), 1);
        assert_eq!(Ending::HostKeyChanged.attempts(2), 1);
        assert_eq!(Ending::TimedOut.attempts(2), 1);
    }

    #[test]
    fn the_worst_command_decides() {
        assert_eq!(worst([]), Exit::Done);
        assert_eq!(worst([Ending::Done, Ending::Unreachable, Ending::Vanished]), Exit::Unavailable);
        assert_eq!(worst([Ending::Unreachable, Ending::KeyRefused]), Exit::Failed);
        assert_eq!(worst([Ending::Stopped, Ending::Done]), Exit::Code(143));
    }
}

//! The processes that belong to a job: its group, its session, its descendants with the sessions they began, and what
//! carries its mark.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal, getpid, kill_process, kill_process_group, test_kill_process_group};
use rustix_libc_wrappers::process::SignalExt as _;

use super::child::MARK;

/// Between two looks at processes that are asked to end.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Who is meant.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    leader: Pid,
    mark: String,
    foreground: bool,
    /// The leader's and those that other members were seen in. A daemon that clears the environment of its children
    /// (Postfix's master does) leaves orphans without a mark when it ends; and who is about to end has lost its
    /// environment. The session stays what it was to the last.
    sessions: Arc<Mutex<BTreeSet<i32>>>,
}

/// One process of the crowd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) pid: Pid,
    pub(super) name: String,
}

impl Crowd {
    /// What `leader` is going to start, told by `mark`. In the foreground it runs in our own group and session, so that
    /// only the leader may be signalled.
    pub(super) fn new(leader: Pid, mark: &str, foreground: bool) -> Self {
        let sessions = if foreground { BTreeSet::new() } else { BTreeSet::from([leader.as_raw_pid()]) };
        Self { leader, mark: mark.to_owned(), foreground, sessions: Arc::new(Mutex::new(sessions)) }
    }

    /// The number of the first process.
    pub(super) fn leader(&self) -> Pid {
        self.leader
    }

    /// Sends a signal to the leader and its group, and to members that left it. A stopped process is woken, so that it
    /// can hear.
    pub(super) fn signal(&self, signal: Signal) {
        if self.foreground {
            let _ = kill_process(self.leader, signal);
            return;
        }
        // Seen before the leader ends, and with it what tells whose child everybody is.
        let outside = self.outside();
        // It may all have ended already; and for a moment after the start there is no group yet.
        if kill_process_group(self.leader, signal).is_err() {
            let _ = kill_process(self.leader, signal);
        }
        for member in outside {
            let _ = kill_process(member.pid, signal);
        }
        if signal != Signal::KILL && signal != Signal::STOP {
            let _ = kill_process_group(self.leader, Signal::CONT);
        }
    }

    /// Passes a signal on by its number, also one without a name.
    pub(super) fn forward(&self, number: i32) {
        if let Some(signal) = Signal::from_raw(number) {
            self.signal_group(signal);
        }
    }

    /// Sends a signal to the leader's group alone.
    pub(super) fn signal_group(&self, signal: Signal) -> bool {
        let group =
            if self.foreground { kill_process(self.leader, signal) } else { kill_process_group(self.leader, signal) };
        group.or_else(|_| kill_process(self.leader, signal)).is_ok()
    }

    fn outside(&self) -> Vec<Member> {
        self.find(|process, crowd| process.group != crowd.leader.as_raw_pid())
    }

    /// Every member that has not ended.
    pub(super) fn members(&self) -> Vec<Member> {
        self.find(|_, _| true)
    }

    /// Whether nobody is left; cheap for the group, a walk through all processes for the rest.
    pub(super) fn is_gone(&self) -> bool {
        if !self.foreground && test_kill_process_group(self.leader).is_ok() && !self.members().is_empty() {
            return false;
        }
        self.members().is_empty()
    }

    fn find(&self, wanted: impl Fn(&Process, &Self) -> bool) -> Vec<Member> {
        let all = processes();
        let us = getpid().as_raw_pid();
        let mut look = Look { all: &all, us, sessions: self.sessions(), memory: HashMap::new() };
        let belongs: Vec<&Process> =
            all.values().filter(|process| process.is_alive && self.owns(process, &mut look)).collect();
        self.remember(&belongs, all.get(&us).map_or(0, |process| process.session));
        let members = belongs.into_iter().filter(|process| wanted(process, self));
        members
            .filter_map(|process| Some(Member { pid: Pid::from_raw(process.pid)?, name: process.name.clone() }))
            .collect()
    }

    fn owns(&self, process: &Process, look: &mut Look<'_>) -> bool {
        if let Some(known) = look.memory.get(&process.pid) {
            return *known;
        }
        // Against a circle, which a list that changes while it is read may hold.
        look.memory.insert(process.pid, false);
        let leader = self.leader.as_raw_pid();
        let owns = process.pid != look.us
            && (process.pid == leader
                || (!self.foreground && process.group == leader)
                || look.sessions.contains(&process.session)
                || look
                    .all
                    .get(&process.parent)
                    .is_some_and(|parent| parent.pid != look.us && self.owns(parent, look))
                || (look.is_orphan(process) && carries(process.pid, &self.mark)));
        look.memory.insert(process.pid, owns);
        owns
    }

    fn sessions(&self) -> BTreeSet<i32> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps the sessions of these members, but never our own, which is full of strangers, nor one that began outside of
    /// this container (0).
    fn remember(&self, members: &[&Process], ours: i32) {
        let theirs = members.iter().map(|member| member.session).filter(|session| ![ours, 0].contains(session));
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).extend(theirs);
    }
}

/// One look at all processes.
struct Look<'a> {
    all: &'a HashMap<i32, Process>,
    us: i32,
    sessions: BTreeSet<i32>,
    /// Who was judged already.
    memory: HashMap<i32, bool>,
}

impl Look<'_> {
    /// Adopted by us, or by the first process where we may not adopt.
    fn is_orphan(&self, process: &Process) -> bool {
        process.parent == self.us || process.parent <= 1
    }
}

fn carries(pid: i32, mark: &str) -> bool {
    let wanted = format!("{MARK}={mark}");
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|variables| variables.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()))
}

struct Process {
    pid: i32,
    name: String,
    is_alive: bool,
    parent: i32,
    group: i32,
    session: i32,
}

fn processes() -> HashMap<i32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter_map(|pid| Some((pid, process(&fs::read(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// `123 (a name) S 1 123 123 …`; the name may hold blanks and parentheses.
fn process(stat: &[u8]) -> Option<Process> {
    let stat = String::from_utf8_lossy(stat);
    let (front, rest) = stat.rsplit_once(") ")?;
    let (pid, name) = front.split_once(" (")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let mut number = || fields.next()?.parse().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        is_alive: !matches!(state, "Z" | "X"),
        parent: number()?,
        group: number()?,
        session: number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let process = process(b"12 (a) S (b)) R 3 4 5 0 -1").unwrap();
        assert_eq!((process.pid, process.name.as_str(), process.is_alive), (12, "a) S (b)", true));
        assert_eq!((process.parent, process.group, process.session), (3, 4, 5));
    }

    #[test]
    fn we_are_in_the_list() {
        assert!(processes().contains_key(&getpid().as_raw_pid()));
    }
}

//! A program under way: its output is read, its limits are kept, and at its end nobody is left.

use std::{path::Path, pin::pin, sync::Arc, time::Duration};

use rustix::process::{Pid, Signal};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe,
    sync::{broadcast, watch},
    time::{Instant, sleep, sleep_until},
};
use tracing::{info, warn};

use super::{
    child::{Child, StartError, start},
    crowd::{Crowd, LOOK_AGAIN, Member},
    ended::{Ended, LeftBehind, Status, Why},
    limits::Limits,
    listener::Listener,
    output::Line,
    program::{Destination, Input, Program},
};
use crate::{
    shutdown::Shutdown,
    words::{length_in_words, signal_name},
};

/// How long what a program left behind may take to end, when the program itself is done.
const BACKGROUND_GRACE: Duration = Duration::from_millis(1_500);
/// Helpers of a program often end a moment after it (ssh after rsync); that is nothing to tell.
const LINGER: Duration = Duration::from_millis(300);
/// How long the output of a program is read after its end, when something still holds it open.
const OUTPUT_AFTER_END: Duration = Duration::from_millis(400);
/// Longer than this even a killed process is not waited for: it hangs in the kernel.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// A program under way. Dropping it kills the program.
pub struct Running {
    program: Program,
    child: Child,
    crowd: Crowd,
    began: Instant,
    remote: Remote,
    is_over: bool,
}

/// Signals or stops a program from elsewhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    crowd: Crowd,
    end: watch::Receiver<Option<Status>>,
    stop: Arc<watch::Sender<bool>>,
}

impl Remote {
    /// The number of its process.
    pub fn pid(&self) -> Pid {
        self.crowd.leader()
    }

    /// Sends a signal to the program's group; answers whether there was anybody to receive it.
    pub fn signal(&self, signal: Signal) -> bool {
        self.end.borrow().is_none() && self.crowd.signal_group(signal)
    }

    /// Waits for the end of its process. What it left behind may still be there.
    pub async fn ended(&mut self) -> Status {
        // An error means that nobody will ever tell.
        self.end.wait_for(Option::is_some).await.ok().and_then(|status| *status).unwrap_or(Status::Killed(9))
    }

    /// Asks for the program to be stopped, as if we were asked to stop: politely, then firmly.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// How the life of the process went.
struct Fate {
    status: Status,
    why: Why,
    killed: bool,
    took: Duration,
    left_behind: Vec<LeftBehind>,
}

impl Running {
    pub(super) fn start(program: Program, path: &Path) -> Result<Self, StartError> {
        let child = start(&program, path)?;
        let crowd = Crowd::new(child.pid, &child.mark, program.foreground);
        let remote = Remote { crowd: crowd.clone(), end: child.end.clone(), stop: Arc::new(watch::Sender::new(false)) };
        Ok(Self { program, child, crowd, began: Instant::now(), remote, is_over: false })
    }

    /// The number of its process.
    pub fn pid(&self) -> Pid {
        self.child.pid
    }

    /// A way to signal or stop it while [`Running::supervise`] is under way.
    pub fn remote(&self) -> Remote {
        self.remote.clone()
    }

    /// The standard output as a stream, once, if [`Program::stdout_as_stream`] asked for it. Inside a tokio runtime.
    pub fn take_stdout(&mut self) -> Option<pipe::Receiver> {
        let wanted = self.program.stdout == Destination::Stream;
        pipe::Receiver::from_owned_fd(self.child.stdout.take_if(|_| wanted)?).ok()
    }

    /// The standard input as a stream, once, if [`Program::input_as_stream`] asked for it. Inside a tokio runtime.
    pub fn take_stdin(&mut self) -> Option<pipe::Sender> {
        let wanted = matches!(self.program.input, Input::Stream);
        pipe::Sender::from_owned_fd(self.child.stdin.take_if(|_| wanted)?).ok()
    }

    /// Stays with the program to its end, and until nothing of it is left.
    pub async fn supervise(self, limits: &Limits, shutdown: &Shutdown) -> Ended {
        self.supervise_with(limits, shutdown, |_| {}).await
    }

    /// As [`Running::supervise`]; `reader` gets each piece of a line.
    pub async fn supervise_with(mut self, limits: &Limits, shutdown: &Shutdown, reader: impl FnMut(Line<'_>)) -> Ended {
        // A stream that nobody took has no reader.
        let stdout = self.child.stdout.take().filter(|_| self.program.stdout == Destination::Lines);
        let mut listener = Listener::new(&self.program, stdout, self.child.stderr.take(), reader);
        let input = match &mut self.program.input {
            Input::Bytes(bytes) => self.child.stdin.take().map(|pipe| (pipe, std::mem::take(bytes))),
            _ => {
                self.child.stdin = None;
                None
            }
        };
        let mut feeding = pin!(feed(input));
        let mut fed = false;
        let fate = {
            let mut living = pin!(self.live(limits, shutdown));
            loop {
                tokio::select! {
                    fate = &mut living => break fate,
                    () = listener.next(), if listener.is_open() => {}
                    () = &mut feeding, if !fed => fed = true,
                }
            }
        };
        self.is_over = true;
        listener.finish(OUTPUT_AFTER_END).await;
        let label = self.program.label.clone();
        let heard = listener.heard();
        Ended {
            label,
            status: fate.status,
            why: fate.why,
            killed: fate.killed,
            took: fate.took,
            lines: heard.lines,
            bytes: heard.bytes,
            dropped: heard.dropped,
            tail: heard.tail,
            left_behind: fate.left_behind,
        }
    }

    /// Keeps the limits until the process has ended, then clears up behind it.
    async fn live(&self, limits: &Limits, shutdown: &Shutdown) -> Fate {
        let label = &self.program.label;
        let mut plan = Plan { soft_at: limits.soft.map(|soft| self.began + soft), ..Plan::default() };
        let hard_at = limits.hard.map(|hard| self.began + hard);
        let mut end = self.child.end.clone();
        let mut stop = self.remote.stop.subscribe();
        let mut others = limits.forward.then(|| shutdown.other_signals());
        let status = loop {
            tokio::select! {
                biased;
                status = end.wait_for(Option::is_some) => {
                    break status.ok().and_then(|status| *status).unwrap_or(Status::Killed(9));
                }
                () = shutdown.wait_insisted(), if !plan.killed => {
                    plan.why = Why::Stopped;
                    self.kill(&mut plan);
                }
                () = shutdown.wait(), if !plan.asked => self.wish(&mut plan, limits, Why::Stopped),
                _ = stop.wait_for(|stop| *stop), if !plan.asked => self.wish(&mut plan, limits, Why::Stopped),
                number = other_signal(&mut others) => self.crowd.forward(number),
                () = reached(plan.soft_at) => {
                    plan.soft_at = None;
                    warn!(job = label, age = length_in_words(self.began.elapsed()), "A job takes longer than expected");
                }
                () = reached(hard_at), if !plan.asked => {
                    warn!(job = label, age = length_in_words(self.began.elapsed()), "A job takes too long and is stopped");
                    self.wish(&mut plan, limits, Why::TimedOut);
                }
                () = reached(plan.kill_at) => self.kill(&mut plan),
            }
            if plan.given_up {
                break Status::Killed(9);
            }
        };
        let took = self.began.elapsed();
        if plan.killed && plan.why == Why::Stopped {
            shutdown.note_killed(label, took);
        }
        let left_behind = self.clear_up(&plan, shutdown).await;
        // What ended well before anybody signalled it was not stopped.
        let untouched = plan.why == Why::Stopped && plan.signalled.is_none();
        let why = if untouched { Why::Itself } else { plan.why };
        Fate { status, why, killed: plan.killed, took, left_behind }
    }

    /// Somebody wants the program to end.
    fn wish(&self, plan: &mut Plan, limits: &Limits, why: Why) {
        let (job, age) = (&self.program.label, length_in_words(self.began.elapsed()));
        info!(job, age, signal = signal_name(limits.signal.as_raw()), "A job is asked to end");
        let now = Instant::now();
        plan.asked = true;
        plan.why = why;
        plan.kill_at = Some(now + limits.grace);
        plan.signalled = Some(now);
        self.crowd.signal(limits.signal);
    }

    /// Repeated until the process is seen to have ended.
    fn kill(&self, plan: &mut Plan) {
        let now = Instant::now();
        if !plan.killed {
            let (job, age) = (&self.program.label, length_in_words(self.began.elapsed()));
            warn!(job, age, "A job did not end when asked and is killed");
            plan.give_up_at = Some(now + KILL_PATIENCE);
        }
        plan.asked = true;
        plan.killed = true;
        plan.signalled.get_or_insert(now);
        plan.kill_at = Some(now + LOOK_AGAIN);
        plan.given_up = plan.give_up_at.is_some_and(|give_up| now >= give_up);
        self.crowd.signal(Signal::KILL);
    }

    /// Ends what the program left behind, or reports it.
    async fn clear_up(&self, plan: &Plan, shutdown: &Shutdown) -> Vec<LeftBehind> {
        if self.program.foreground {
            return Vec::new();
        }
        if plan.signalled.is_none() && self.gone_by(Instant::now() + LINGER, shutdown).await {
            return Vec::new();
        }
        let found = self.crowd.members();
        if found.is_empty() {
            return Vec::new();
        }
        let job = &self.program.label;
        let names = found.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(" ");
        if self.program.leave_background && plan.signalled.is_none() {
            info!(job, count = found.len(), names, "A job left processes running");
            return found.into_iter().map(|member| left_behind(member, &found_alive)).collect();
        }
        if plan.signalled.is_none() {
            warn!(job, count = found.len(), names, "A job left processes running; they are asked to end");
            self.crowd.signal(Signal::TERM);
        }
        let kill_at = plan.kill_at.filter(|_| !plan.killed).unwrap_or_else(|| Instant::now() + BACKGROUND_GRACE);
        if plan.killed || !self.gone_by(kill_at, shutdown).await {
            if !plan.killed && plan.why == Why::Stopped {
                shutdown.note_killed(&format!("{names} of {job}"), self.began.elapsed());
            }
            self.kill_all(job).await;
        }
        let alive = self.crowd.members();
        found.into_iter().map(|member| left_behind(member, &|pid| alive.iter().any(|other| other.pid == pid))).collect()
    }

    /// Waits for all members to end; a second wish to stop ends the wait.
    async fn gone_by(&self, deadline: Instant, shutdown: &Shutdown) -> bool {
        while !self.crowd.is_gone() {
            if Instant::now() >= deadline || shutdown.insisted() {
                return false;
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }

    async fn kill_all(&self, job: &str) {
        let until = Instant::now() + KILL_PATIENCE;
        let mut told = false;
        while !self.crowd.is_gone() && Instant::now() < until {
            if !std::mem::replace(&mut told, true) {
                let count = self.crowd.members().len();
                warn!(job, count, "Processes of a job did not end when asked and are killed");
            }
            self.crowd.signal(Signal::KILL);
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// What is going to happen to a program, and what happened already.
struct Plan {
    why: Why,
    soft_at: Option<Instant>,
    kill_at: Option<Instant>,
    give_up_at: Option<Instant>,
    signalled: Option<Instant>,
    asked: bool,
    killed: bool,
    given_up: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            why: Why::Itself,
            soft_at: None,
            kill_at: None,
            give_up_at: None,
            signalled: None,
            asked: false,
            killed: false,
            given_up: false,
        }
    }
}

fn found_alive(_: Pid) -> bool {
    true
}

fn left_behind(member: Member, is_alive: &dyn Fn(Pid) -> bool) -> LeftBehind {
    LeftBehind { pid: member.pid.as_raw_pid(), ended: !is_alive(member.pid), name: member.name }
}

async fn reached(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn other_signal(others: &mut Option<broadcast::Receiver<i32>>) -> i32 {
    loop {
        match others {
            Some(signals) => match signals.recv().await {
                Ok(number) => return number,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => *others = None,
            },
            None => std::future::pending().await,
        }
    }
}

/// Writes the input; a program that does not read it to the end is in its right.
async fn feed(input: Option<(std::os::fd::OwnedFd, Vec<u8>)>) {
    let Some((pipe, bytes)) = input else { return };
    if let Ok(mut pipe) = pipe::Sender::from_owned_fd(pipe) {
        let _ = pipe.write_all(&bytes).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over && self.child.end.borrow().is_none() {
            self.crowd.signal(Signal::KILL);
        }
    }
}

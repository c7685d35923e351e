//! Starts programs and learns how they end; the only place that waits for processes.

use std::{
    collections::HashMap,
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use rustix::process::{Pid, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait, waitpid};
use tokio::sync::watch;

use super::{
    ended::Status,
    program::{Destination, Input, Program, Variable},
    trampoline,
};
use crate::entry::{Exit, Failure};

/// A program could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program.
    #[error("there is no program {program}")]
    Missing {
        /// Its name as it was asked for.
        program: String,
    },
    /// The file is there and cannot be run.
    #[error("{program} is not executable ({})", path.display())]
    NotExecutable {
        /// Its name as it was asked for.
        program: String,
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("cannot start {program}")]
    Refused {
        /// Its name as it was asked for.
        program: String,
        /// Why.
        source: io::Error,
    },
}

impl StartError {
    /// The exit code that a shell gives.
    pub fn exit(&self) -> Exit {
        match self {
            StartError::Missing { .. } => Exit::Code(127),
            StartError::NotExecutable { .. } | StartError::Refused { .. } => Exit::Code(126),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let help = match &error {
            StartError::Missing { .. } => "install it in the image, or give its full path",
            StartError::NotExecutable { .. } => "make the file executable (chmod +x), or name the right one",
            StartError::Refused { .. } => "look at the limits of the container: processes, memory, open files",
        };
        Failure::new(error.exit(), error).help(help)
    }
}

/// The variable by which processes that left their session are still known as ours.
pub(super) const MARK: &str = "SIDECAR_JOB";

/// A process that was just started.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) mark: String,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) end: watch::Receiver<Option<Status>>,
}

/// Set by [`crate::entry`]: our own executable sets children up, and nobody else in this process waits for any.
static IS_SIDECAR: AtomicBool = AtomicBool::new(false);

/// Called once, first of all, by the entry of a sidecar.
pub(crate) fn become_parent() {
    IS_SIDECAR.store(true, Ordering::Relaxed);
}

/// Starts the program at `path`.
pub(super) fn start(program: &Program, path: &Path) -> Result<Child, StartError> {
    let refused = |source| StartError::Refused { program: program.name.clone(), source };
    let path = std::path::absolute(path).map_err(refused)?;
    let mark = next_mark();
    let mut command = command(program, &path);
    command.env(MARK, &mark);
    let (reply, answer) = mpsc::sync_channel(1);
    let gone = || refused(io::Error::other("the thread that starts programs is gone"));
    starter().send(Order { command, reply }).map_err(|_| gone())?;
    let started = answer.recv().map_err(|_| gone())?.map_err(refused)?;
    Ok(Child { mark, ..started })
}

fn next_mark() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let moment = jiff::Timestamp::now().as_millisecond();
    format!("{}-{moment}-{}", getpid().as_raw_pid(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn command(program: &Program, path: &Path) -> Command {
    let mut command = if IS_SIDECAR.load(Ordering::Relaxed) && Path::new(trampoline::OURSELVES).exists() {
        trampoline::command(program, path)
    } else {
        let mut command = Command::new(path);
        command.arg0(&program.name).args(&program.arguments);
        if !program.foreground {
            command.process_group(0);
        }
        command
    };
    for variable in &program.variables {
        match variable {
            Variable::Set(name, value) => command.env(name, value),
            Variable::Remove(name) => command.env_remove(name),
            Variable::Clear => command.env_clear(),
        };
    }
    if let Some(folder) = &program.folder {
        command.current_dir(folder);
    }
    if let Some(user) = program.user {
        command.uid(user.uid).gid(user.gid);
    }
    if !program.foreground {
        command.stdin(if matches!(program.input, Input::Nothing) { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    debug_assert!(program.stdout == Destination::Lines || !program.foreground, "a foreground program has no stream");
    command
}

struct Order {
    command: Command,
    reply: mpsc::SyncSender<io::Result<Child>>,
}

/// One thread starts all programs and lives as long as we do: the death signal of a child belongs to the thread that
/// started it.
fn starter() -> &'static mpsc::Sender<Order> {
    static STARTER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        if IS_SIDECAR.load(Ordering::Relaxed) {
            adopt_orphans();
        }
        // Without the thread the sender finds nobody, and says so.
        let _ = thread::Builder::new().name("starter".to_owned()).spawn(move || {
            for order in orders {
                // Nobody waits for the answer any more when the caller was dropped; the child then is, too.
                let _ = order.reply.send(start_now(order.command));
            }
        });
        sender
    })
}

fn start_now(mut command: Command) -> io::Result<Child> {
    // Held until the child is in the table, so that its end is not taken for that of an orphan.
    let mut family = family();
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the system gave a process no number"))?;
    let (tell, end) = watch::channel(None);
    family.insert(pid.as_raw_pid(), tell);
    drop(family);
    if IS_SIDECAR.load(Ordering::Relaxed) {
        FAMILY_GREW.notify_all();
    } else {
        thread::Builder::new().name("wait".to_owned()).spawn(move || wait_for(Some(pid)))?;
    }
    Ok(Child {
        pid,
        mark: String::new(),
        stdin: child.stdin.take().map(OwnedFd::from),
        stdout: child.stdout.take().map(OwnedFd::from),
        stderr: child.stderr.take().map(OwnedFd::from),
        end,
    })
}

/// Our children that have not ended, and who wants to know when they do.
type Family = HashMap<i32, watch::Sender<Option<Status>>>;
static FAMILY: OnceLock<Mutex<Family>> = OnceLock::new();
static FAMILY_GREW: Condvar = Condvar::new();

fn family() -> MutexGuard<'static, Family> {
    FAMILY.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes us the parent of what our children leave behind, and buries it.
fn adopt_orphans() {
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        tracing::info!(%error, "orphans of jobs cannot be adopted here; they are looked for by their mark");
    }
    // Without the thread no end is ever noticed; starting programs fails the same way then.
    let _ = thread::Builder::new().name("reaper".to_owned()).spawn(|| {
        loop {
            wait_for(None);
            let no_child = family();
            if no_child.is_empty() {
                drop(FAMILY_GREW.wait(no_child));
            }
        }
    });
}

/// Waits for one child, or for all there are, orphans included, and tells who asked.
fn wait_for(child: Option<Pid>) {
    loop {
        let ended = match child {
            Some(pid) => waitpid(Some(pid), WaitOptions::empty()),
            None => wait(WaitOptions::empty()),
        };
        match ended {
            Ok(Some((pid, status))) => tell(pid, status),
            Err(rustix::io::Errno::INTR) => continue,
            _ => return,
        }
        if child.is_some() {
            return;
        }
    }
}

fn tell(pid: Pid, status: WaitStatus) {
    if let Some(asked) = family().remove(&pid.as_raw_pid()) {
        asked.send_replace(Some(status_of(status)));
    }
}

fn status_of(status: WaitStatus) -> Status {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Status::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => Status::Killed(signal.unwrap_or(9)),
    }
}

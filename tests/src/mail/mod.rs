//! A stand-in for the mail server of a provider: it demands what such servers demand, refuses as they refuse, and
//! remembers every byte that reached it.

mod session;
mod tls;
mod wire;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub use tls::Authority;

/// How long a test waits for a fact.
const PATIENCE: Duration = Duration::from_secs(45);

/// When the server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Never.
    Never,
    /// When a client says STARTTLS.
    StartTls,
    /// From the first byte.
    Implicit,
}

/// Whether and how the server wants to know who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// It does not.
    Nobody,
    /// It offers these mechanisms, but only inside TLS, and takes mail only from who used one.
    InTls(&'static str),
    /// The same, offered without TLS as well.
    Always(&'static str),
}

/// What the server does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Takes it.
    Takes,
    /// Asks to come back later, at each recipient.
    Greylists,
    /// Refuses each recipient for ever.
    Refuses,
    /// Takes it after a while.
    Slow(Duration),
    /// Drops the connection when the message begins.
    Drops,
    /// Does not even greet.
    Silent,
    /// Greets after a while, as a tarpit does.
    GreetsLate(Duration),
}

/// How the server behaves from the next command on.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// When it speaks TLS.
    pub tls: Tls,
    /// Whether it wants a login.
    pub auth: Auth,
    /// Whether it says that the password is wrong, whatever it is.
    pub rejects_login: bool,
    /// What it does with a message.
    pub mood: Mood,
    /// A command that it answers with these lines, whatever else it would say: `("MAIL", "550 5.7.1 log in first")`.
    pub says: Option<(&'static str, &'static str)>,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            tls: Tls::StartTls,
            auth: Auth::InTls("PLAIN LOGIN"),
            rejects_login: false,
            mood: Mood::Takes,
            says: None,
        }
    }
}

/// A login that was sent to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// By which mechanism.
    pub mechanism: String,
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
    /// Whether it came inside TLS.
    pub in_tls: bool,
}

/// A message that the server took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The sender in the envelope.
    pub from: String,
    /// The recipients in the envelope.
    pub to: Vec<String>,
    /// Headers and body.
    pub text: String,
    /// Whether it came inside TLS.
    pub in_tls: bool,
    /// Whether a login came before it.
    pub logged_in: bool,
}

/// Everything that happened.
#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    commands: Vec<String>,
    logins: Vec<Login>,
    messages: Vec<Message>,
    /// The bytes as they came over the wire, before any decryption.
    wire: Vec<u8>,
}

struct Inside {
    manners: Mutex<Manners>,
    seen: Mutex<Seen>,
    authority: Authority,
    closing: AtomicBool,
}

/// The server. It is gone when it is dropped.
pub struct MailServer {
    address: SocketAddr,
    inside: Arc<Inside>,
}

impl MailServer {
    /// A server on a free port of the loopback.
    ///
    /// # Panics
    /// When there is no port.
    pub fn start(manners: Manners) -> Self {
        let free = (Ipv4Addr::LOCALHOST, 0).into();
        Self::start_at(free, manners).unwrap_or_else(|error| panic!("no port for the mail server: {error}"))
    }

    /// A server at this address.
    ///
    /// # Errors
    /// When it is taken.
    pub fn start_at(address: SocketAddr, manners: Manners) -> io::Result<Self> {
        let authority = Authority::new();
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let inside = Arc::new(Inside {
            manners: Mutex::new(manners),
            seen: Mutex::default(),
            authority,
            closing: AtomicBool::new(false),
        });
        let listening = Arc::clone(&inside);
        thread::spawn(move || listen(&listener, &listening));
        Ok(Self { address, inside })
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The authority that signed its certificate.
    pub fn authority(&self) -> &Authority {
        &self.inside.authority
    }

    /// Change how it behaves, without a restart.
    pub fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut lock(&self.inside.manners));
    }

    /// The messages it took so far.
    pub fn messages(&self) -> Vec<Message> {
        lock(&self.inside.seen).messages.clone()
    }

    /// The logins it was sent so far.
    pub fn logins(&self) -> Vec<Login> {
        lock(&self.inside.seen).logins.clone()
    }

    /// The commands it was sent so far, those inside TLS as well.
    pub fn commands(&self) -> Vec<String> {
        lock(&self.inside.seen).commands.clone()
    }

    /// How often somebody connected so far.
    pub fn connections(&self) -> usize {
        lock(&self.inside.seen).connections
    }

    /// Whether these bytes came over the wire unencrypted, as they are or as base64.
    pub fn wire_holds(&self, bytes: &[u8]) -> bool {
        let wire = lock(&self.inside.seen).wire.clone();
        wire::forms(bytes).iter().any(|form| wire.windows(form.len()).any(|window| window == form.as_slice()))
    }

    /// The messages, once there are this many.
    ///
    /// # Panics
    /// When they do not come.
    #[track_caller]
    pub fn receives(&self, count: usize) -> Vec<Message> {
        let begin = Instant::now();
        loop {
            let messages = self.messages();
            if messages.len() >= count {
                return messages;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{} of {count} messages came; commands: {:?}",
                messages.len(),
                self.commands()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.inside.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that listens, so that the port is free again.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that fails elsewhere must still be able to read it.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn listen(listener: &TcpListener, inside: &Arc<Inside>) {
    for stream in listener.incoming() {
        if inside.closing.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        lock(&inside.seen).connections += 1;
        let inside = Arc::clone(inside);
        // A client that goes away in the middle ends its session; what it said is remembered.
        thread::spawn(move || session::serve(&stream, &inside));
    }
}

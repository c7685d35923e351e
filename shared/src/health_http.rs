//! Health and metrics by HTTP, for those who cannot run our command: the same answer as `health`, read from the same file.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    net::{self, IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::{Registry, Unit},
};
use subtle::ConstantTimeEq as _;
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{Mutex, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    config::Value,
    entry::{Exit, Failure},
    health::{self, Verdict},
    secret::Secret,
};

/// Whoever is slower than this is no health check.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);
/// Connections at the same time; for one more the oldest is closed, so that nobody waits behind those who say nothing.
const CLIENTS_MAX: usize = 32;
/// Longest request line and headers.
const REQUEST_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// A page is not drawn more often than this.
const PAGE_FRESH: Duration = Duration::from_secs(5);
/// What every answer says to browsers: take nothing for something else, show nothing in a frame, keep and pass on nothing.
const FOR_BROWSERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
];

crate::settings! {
    /// Where health is answered by HTTP. A group for the settings of any program with a health.
    pub struct ListenOptions {
        /// Address and port for `/healthz` and `/metrics`; a bare port means 127.0.0.1. Not answered by HTTP when unset.
        pub address: Option<ListenAddress> = optional("HEALTH_LISTEN").example("127.0.0.1:9110"),
    }
}

/// An address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(SocketAddr);

impl Value for ListenAddress {
    fn rule() -> String {
        "a port, or an address and a port such as 0.0.0.0:9110".to_owned()
    }

    fn parse(text: &str) -> Result<Self, String> {
        if let Ok(port) = text.trim_start_matches(':').parse::<u16>() {
            return Ok(Self(SocketAddr::from(([127, 0, 0, 1], port))));
        }
        text.parse().map(Self).map_err(|_| String::new())
    }
}

/// Nobody can listen there.
#[derive(Debug, thiserror::Error)]
#[error("cannot answer health checks at {address} (HEALTH_LISTEN)")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

impl From<ListenError> for Failure {
    fn from(error: ListenError) -> Self {
        Failure::new(Exit::Config, error)
            .help("choose a free port and an address of this container, or leave HEALTH_LISTEN unset: the health command needs no port")
    }
}

/// Answers as long as it lives.
pub struct Listening {
    /// The thread that answers ends when this goes.
    _alive: oneshot::Sender<Infallible>,
}

/// A page for people, in HTML, drawn when somebody looks.
pub struct Page {
    path: &'static str,
    token: Option<Secret>,
    draw: Arc<dyn Fn() -> String + Send + Sync>,
    last: Arc<Mutex<Option<(Instant, Bytes)>>>,
}

impl Page {
    /// A page at a path such as `/report`.
    pub fn new(path: &'static str, draw: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { path, token: None, draw: Arc::new(draw), last: Arc::default() }
    }

    /// Shows it only to who sends this token, if there is one: as a bearer token, or as the password of basic
    /// authentication, for which a browser asks.
    #[must_use]
    pub fn behind(mut self, token: Option<Secret>) -> Self {
        self.token = token;
        self
    }

    fn opens_for(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else { return true };
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(password);
        sent.is_some_and(|sent| bool::from(sent.as_bytes().ct_eq(token.reveal().as_bytes())))
    }

    /// As it was drawn a moment ago, or anew: whoever asks all the time does not keep us from work.
    async fn drawn(&self) -> Bytes {
        // Held until it is drawn, also when nobody waits any more: a volume that hangs holds one thread, not many.
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((_, page)) = last.as_ref().filter(|(at, _)| at.elapsed() < PAGE_FRESH) {
            return page.clone();
        }
        let draw = Arc::clone(&self.draw);
        let drawing = spawn_blocking(move || {
            let page = Bytes::from(draw());
            *last = Some((Instant::now(), page.clone()));
            page
        });
        // It fails only when drawing panics, which ends the program.
        drawing.await.unwrap_or_default()
    }
}

/// The token in `Bearer TOKEN`, or the password in `Basic base64(user:password)`.
fn password(authorization: &str) -> Option<String> {
    let (scheme, value) = authorization.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(value.trim().to_owned()),
        "basic" => {
            let pair = String::from_utf8(BASE64_STANDARD.decode(value.trim()).ok()?).ok()?;
            Some(pair.split_once(':')?.1.to_owned())
        }
        _ => None,
    }
}

/// Answers health checks from now on, about the state in `file`.
///
/// # Errors
/// When the address is taken or not ours.
pub fn listen(options: &ListenOptions, job: &str, file: &Path) -> Result<Option<Listening>, ListenError> {
    listen_with(options, job, file, None)
}

/// As [`listen`], with a page for people.
///
/// # Errors
/// As for [`listen`].
pub fn listen_with(
    options: &ListenOptions,
    job: &str,
    file: &Path,
    page: Option<Page>,
) -> Result<Option<Listening>, ListenError> {
    let Some(ListenAddress(address)) = options.address else { return Ok(None) };
    let failed = |source| ListenError { address, source };
    let listener = net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let page_at = page.as_ref().map(|page| page.path);
    info!(address = %bound, page = page_at, "Health is answered by HTTP at /healthz and /metrics");
    let subject =
        Arc::new(Subject { job: job.to_owned(), file: file.to_owned(), page, near: bound.ip().is_loopback() });
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let (alive, ended) = oneshot::channel();
    // A thread of its own: it answers while a read from a volume whose server is away keeps the program waiting.
    let answer = move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            tokio::select! {
                () = accept(listener, subject) => {}
                _ = ended => {}
            }
        });
        // A page that is being drawn is not waited for.
        runtime.shutdown_background();
    };
    thread::Builder::new().name("health".to_owned()).spawn(answer).map_err(failed)?;
    Ok(Some(Listening { _alive: alive }))
}

struct Subject {
    job: String,
    file: PathBuf,
    page: Option<Page>,
    /// Only programs of this host, or of this container, can reach us.
    near: bool,
}

async fn accept(listener: TcpListener, subject: Arc<Subject>) {
    const AFTER_ERROR: Duration = Duration::from_millis(200);
    let mut clients = VecDeque::<JoinHandle<()>>::new();
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                make_room(&mut clients);
                let subject = Arc::clone(&subject);
                // A client that is too slow is left alone.
                clients.push_back(tokio::spawn(async move {
                    drop(timeout(CLIENT_PATIENCE, serve(client, &subject)).await);
                }));
            }
            Err(error) => {
                // Perhaps no more files may be open: a connection less is one more.
                clients.pop_front().inspect(JoinHandle::abort);
                warn!(%error, "A health check cannot be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

/// For one more connection. Who has a request is answered long before his turn to be closed comes.
fn make_room(clients: &mut VecDeque<JoinHandle<()>>) {
    clients.retain(|client| !client.is_finished());
    while clients.len() >= CLIENTS_MAX {
        clients.pop_front().inspect(JoinHandle::abort);
    }
}

async fn serve(client: TcpStream, subject: &Subject) {
    let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(subject.answer(&request).await));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CLIENT_PATIENCE).keep_alive(false);
    http.max_buf_size(REQUEST_BYTES_MAX).max_headers(HEADERS_MAX);
    // What a client does wrong is its own affair.
    let _ = http.serve_connection(TokioIo::new(client), service).await;
}

impl Subject {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // A page of a stranger can let his name mean 127.0.0.1 and read there with the eyes of our browser; but the
        // name goes with it.
        if self.near && !is_near(request) {
            let said = "this address answers to localhost and 127.0.0.1 only: ask by one of these names\n";
            return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", said.to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".to_owned());
        }
        let path = request.uri().path();
        if let Some(page) = self.page.as_ref().filter(|page| page.path == path) {
            if !page.opens_for(request.headers()) {
                return locked();
            }
            return response(StatusCode::OK, "text/html; charset=utf-8", page.drawn().await);
        }
        match path {
            "/healthz" | "/" => self.health(),
            "/metrics" => text(
                StatusCode::OK,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
                self.metrics().unwrap_or_default(),
            ),
            _ => {
                let more = self.page.as_ref().map(|page| format!(", and {}", page.path)).unwrap_or_default();
                text(StatusCode::NOT_FOUND, "text/plain", format!("there are /healthz and /metrics{more}\n"))
            }
        }
    }

    fn health(&self) -> Response<Full<Bytes>> {
        let (status, sentence) = match self.verdict() {
            Ok(verdict) if verdict.exit() == Exit::Done => (StatusCode::OK, verdict.sentence()),
            Ok(verdict) => (StatusCode::SERVICE_UNAVAILABLE, verdict.sentence()),
            Err(error) => (StatusCode::SERVICE_UNAVAILABLE, format!("failing: {error}")),
        };
        text(status, "text/plain; charset=utf-8", sentence + "\n")
    }

    fn verdict(&self) -> Result<Verdict, health::HealthError> {
        health::answer(&self.file, Timestamp::now())
    }

    /// Numbers about the job; nothing in them is a command, a path or a name of anybody.
    fn metrics(&self) -> Option<String> {
        let state = health::read(&self.file).ok()?;
        let healthy = self.verdict().is_ok_and(|verdict| verdict.exit() == Exit::Done);
        let mut registry = Registry::with_labels([("job".into(), self.job.clone().into())].into_iter());
        let seconds = |moment: Option<Timestamp>| moment.map_or(0, Timestamp::as_second);
        registry.register(
            "sidecar_healthy",
            "Whether the program is well (1) or not (0)",
            ConstGauge::new(i64::from(healthy)),
        );
        registry.register("sidecar_runs", "Runs since the program started", ConstCounter::new(state.runs));
        registry.register(
            "sidecar_runs_failed",
            "Failed runs since the program started",
            ConstCounter::new(state.runs_failed),
        );
        registry.register(
            "sidecar_consecutive_failures",
            "Failed runs since the last good one",
            ConstGauge::new(i64::try_from(state.failures).unwrap_or(i64::MAX)),
        );
        for (name, help, moment) in [
            ("sidecar_start_time", "When the program started, since 1970", Some(state.started)),
            (
                "sidecar_last_success_time",
                "When the last good run ended, since 1970; 0 when there was none",
                state.last_success,
            ),
            (
                "sidecar_last_run_time",
                "When the last run ended, since 1970; 0 when there was none",
                state.last_run_ended,
            ),
            ("sidecar_next_run_time", "When the next run is planned, since 1970; 0 when none is", state.next_run),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, ConstGauge::new(seconds(moment)));
        }
        let mut page = String::new();
        encode(&mut page, &registry).ok()?;
        Some(page)
    }
}

/// Whether the names by which we are asked mean this host. Who gives none is no browser.
fn is_near(request: &Request<Incoming>) -> bool {
    let mut said = request.headers().get_all(header::HOST).iter();
    let written = request.uri().authority().is_none_or(|authority| is_near_name(authority.as_str()));
    written && said.all(|host| host.to_str().is_ok_and(is_near_name))
}

/// `localhost`, `127.0.0.1:9110`, `[::1]:9110`.
fn is_near_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        _ => host,
    };
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn locked() -> Response<Full<Bytes>> {
    let said = "the page needs a token: send it as a bearer token, or as the password of any user\n";
    let mut response = text(StatusCode::UNAUTHORIZED, "text/plain", said.to_owned());
    let challenge = HeaderValue::from_static("Basic realm=\"report\", charset=\"UTF-8\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    response
}

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    response(status, kind, Bytes::from(text))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.extend(FOR_BROWSERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b29_only_names_of_this_host_are_near() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "localhost.",
            "127.0.0.1",
            "127.0.0.1:9110",
            "[::1]",
            "[::1]:9110",
            "127.9.9.9",
        ] {
            assert!(is_near_name(host), "{host}");
        }
        for host in
            ["", ":80", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9110", "10.0.0.1", "[::2]:1"]
        {
            assert!(!is_near_name(host), "{host}");
        }
    }

    #[test]
    fn a_page_behind_a_token_opens_for_it_alone() {
        let page = Page::new("/report", String::new).behind(Some(Secret::new("s3cret:x")));
        let opens = |sent: &str| {
            page.opens_for(&HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_str(sent).unwrap())]))
        };
        let basic = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
        assert!(
            opens("Bearer s3cret:x")
                && opens("bearer s3cret:x")
                && opens(&basic("me:s3cret:x"))
                && opens(&basic(":s3cret:x"))
        );
        for wrong in [
            "",
            "s3cret:x",
            "Bearer ",
            "Bearer s3cret",
            "Bearer s3cret:xx",
            "Digest s3cret:x",
            &basic("s3cret:x"),
            "Basic %",
        ] {
            assert!(!opens(wrong), "{wrong}");
        }
        assert!(!page.opens_for(&HeaderMap::new()));
        assert!(Page::new("/report", String::new).behind(None).opens_for(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_page_that_takes_long_keeps_nobody_else_waiting_and_is_drawn_once() {
        let drawn = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = Arc::clone(&drawn);
        let page = Page::new("/report", move || {
            thread::sleep(Duration::from_millis(400));
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            "drawn".to_owned()
        });
        let began = Instant::now();
        // Two who went away, and two who wait.
        for _ in 0..2 {
            assert!(timeout(Duration::from_millis(20), page.drawn()).await.is_err());
        }
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
        let (first, second) = tokio::join!(page.drawn(), page.drawn());
        assert_eq!((first, second), (Bytes::from("drawn"), Bytes::from("drawn")));
        assert_eq!(drawn.load(std::sync::atomic::Ordering::Relaxed), 1);
    }
}

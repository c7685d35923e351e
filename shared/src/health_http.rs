//! Health and metrics by HTTP, for those who cannot run our command: the same answer as `health`, read from the same file.

use std::{
    convert::Infallible,
    io,
    net::{self, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
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
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{Semaphore, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    config::Value,
    entry::{Exit, Failure},
    health::{self, Verdict},
};

/// Whoever is slower than this is no health check.
const CLIENT_PATIENCE: Duration = Duration::from_secs(5);
/// Health checks at the same time; more wait in the kernel.
const CLIENTS_MAX: usize = 16;
/// Longest request line and headers.
const REQUEST_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
/// A page is not drawn more often than this.
const PAGE_FRESH: Duration = Duration::from_secs(5);

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
    draw: Box<dyn Fn() -> String + Send + Sync>,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Page {
    /// A page at a path such as `/report`.
    pub fn new(path: &'static str, draw: impl Fn() -> String + Send + Sync + 'static) -> Self {
        Self { path, draw: Box::new(draw), last: Mutex::new(None) }
    }

    /// As it was drawn a moment ago, or anew: whoever asks all the time does not keep us from work.
    fn drawn(&self) -> Bytes {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, page)) if at.elapsed() < PAGE_FRESH => page.clone(),
            _ => {
                let page = Bytes::from((self.draw)());
                *last = Some((Instant::now(), page.clone()));
                page
            }
        }
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
    let subject = Arc::new(Subject { job: job.to_owned(), file: file.to_owned(), page });
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
    };
    thread::Builder::new().name("health".to_owned()).spawn(answer).map_err(failed)?;
    Ok(Some(Listening { _alive: alive }))
}

struct Subject {
    job: String,
    file: PathBuf,
    page: Option<Page>,
}

async fn accept(listener: TcpListener, subject: Arc<Subject>) {
    const AFTER_ERROR: Duration = Duration::from_millis(200);
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        // Nobody closes the semaphore.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let subject = Arc::clone(&subject);
                tokio::spawn(async move {
                    // A client that is too slow is left alone.
                    let _ = timeout(CLIENT_PATIENCE, serve(client, &subject)).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "A health check cannot be accepted");
                tokio::time::sleep(AFTER_ERROR).await;
            }
        }
    }
}

async fn serve(client: TcpStream, subject: &Subject) {
    let service = service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(subject.answer(&request)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CLIENT_PATIENCE).keep_alive(false);
    http.max_buf_size(REQUEST_BYTES_MAX).max_headers(HEADERS_MAX);
    // What a client does wrong is its own affair.
    let _ = http.serve_connection(TokioIo::new(client), service).await;
}

impl Subject {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".to_owned());
        }
        let path = request.uri().path();
        if let Some(page) = self.page.as_ref().filter(|page| page.path == path) {
            return response(StatusCode::OK, "text/html; charset=utf-8", page.drawn());
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

fn text(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    response(status, kind, Bytes::from(text))
}

fn response(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

//! One request and its answer: sorted into tracking and API, counted, logged, and broken off where a fault says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use tokio::time::sleep;

use super::api::{self, Call};
use super::reply::{Answer, Cut, Reply};
use super::request::{Outcome, Request};
use super::store::Store;
use super::tracking::{Parcel, track};
use crate::fault::Fault;

/// What is known about one connection.
pub struct Connection {
    store: Arc<Store>,
    number: u64,
    requests: AtomicU64,
    reset: Arc<AtomicBool>,
}

impl Connection {
    pub fn new(store: Arc<Store>, number: u64, reset: Arc<AtomicBool>) -> Self {
        Self { store, number, requests: AtomicU64::new(0), reset }
    }

    /// Answer a request with the time of the stand-in's clock, or end the connection.
    pub async fn serve(self: Arc<Self>, request: hyper::Request<Incoming>) -> Result<Response<Answer>, Cut> {
        let store = Arc::clone(&self.store);
        let mut response = self.answer(request).await?;
        let date = store.clock().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        response.headers_mut().insert(header::DATE, HeaderValue::from_str(&date).map_err(|_| Cut)?);
        Ok(response)
    }

    async fn answer(self: Arc<Self>, request: hyper::Request<Incoming>) -> Result<Response<Answer>, Cut> {
        let visit = Visit {
            store: Arc::clone(&self.store),
            path: request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            query: request.uri().query().unwrap_or("").to_owned(),
            connection: self.number,
            on_connection: self.requests.fetch_add(1, Ordering::Relaxed) + 1,
        };
        if request.uri().path() == "/matomo.js" {
            return Reply::Page(200, "/* what pages load */").into_response();
        }
        if !is_tracking(request.uri().path(), &visit.query) {
            return visit.ask(request.into_body()).await;
        }
        let reply = visit.track(request.into_body()).await?;
        match reply {
            Reply::Silence => sleep(self.store.setup().silence).await,
            Reply::Reset => self.reset.store(true, Ordering::Relaxed),
            _ => {}
        }
        reply.into_response()
    }
}

/// Any PHP file tracks, under whatever name, but the one of the pages, and unless the API is named.
fn is_tracking(path: &str, query: &str) -> bool {
    path.ends_with(".php") && !path.ends_with("index.php") && !query.contains("module=API")
}

/// One request on its way.
struct Visit {
    store: Arc<Store>,
    path: String,
    query: String,
    connection: u64,
    on_connection: u64,
}

impl Visit {
    fn log(&self, number: u64, entries: usize, bytes: usize, outcome: Outcome) {
        let (path, connection, on_connection) = (self.path.clone(), self.connection, self.on_connection);
        let request = Request { number, path, entries, bytes, outcome, connection, on_connection };
        self.store.change(|kept| kept.requests.push(request));
    }

    async fn ask(self, body: Incoming) -> Result<Response<Answer>, Cut> {
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        let call = Call::open(&self.query, &body);
        let reply = api::answer(&self.store, &call);
        self.log(0, 0, body.len(), Outcome::Api(call.method().to_owned()));
        reply.into_response()
    }

    async fn track(self, body: Incoming) -> Result<Reply, Cut> {
        let (number, fault) = self.store.receive();
        let _under_way = UnderWay(Arc::clone(&self.store));
        if let Some(fault @ Fault::Close) = fault {
            self.log(number, 0, 0, Outcome::Fault(fault));
            return Err(Cut);
        }
        let Ok(body) = body.collect().await else {
            self.log(number, 0, 0, Outcome::Cut);
            return Err(Cut);
        };
        // Once it has the whole body Matomo carries on, client or no client; so does a task of its own.
        self.store.change(|kept| kept.working += 1);
        tokio::spawn(self.judge(body.to_bytes(), number, fault)).await.map_err(|_| Cut)
    }

    async fn judge(self, body: Bytes, number: u64, fault: Option<Fault>) -> Reply {
        sleep(self.store.setup().pace).await;
        let parcel = Parcel::open(&self.query, &body);
        let entries = parcel.entries();
        let (reply, outcome) = track(&self.store, &self.path, parcel, fault).await;
        self.log(number, entries, body.len(), outcome);
        self.store.change(|kept| kept.working -= 1);
        reply
    }
}

/// A tracking request that has begun and not ended, however it ends.
struct UnderWay(Arc<Store>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.change(|kept| kept.in_flight -= 1);
    }
}

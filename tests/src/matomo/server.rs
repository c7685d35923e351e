//! The door: a thread that accepts connections until the stand-in is dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::exchange::Connection;
use super::store::Store;
use super::wire::Wire;

/// The thread that answers.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listen where the setup says.
    #[expect(clippy::expect_used, reason = "a journey without its stand-in can only fail")]
    pub fn start(store: Arc<Store>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let bound = runtime.block_on(TcpListener::bind(store.setup().listen));
        let listener = bound.expect("a free port");
        let address = listener.local_addr().expect("the address of a listener");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = accept(listener, store) => {}, _ = stopped => {} }
            });
            runtime.shutdown_background();
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic over there was printed already; a second one while this one unwinds would abort the test.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, store: Arc<Store>) {
    for number in 1.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        // Answers are small; without this they wait for the other side's acknowledgement.
        let _ = stream.set_nodelay(true);
        let reset = Arc::new(AtomicBool::new(false));
        let wire = Wire::new(stream, Arc::clone(&reset));
        let connection = Arc::new(Connection::new(Arc::clone(&store), number, reset));
        tokio::spawn(async move {
            let service = service_fn(|request| Arc::clone(&connection).serve(request));
            // An error here is a cut connection: planned by a fault, or the client was killed.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(wire), service).await;
        });
    }
}

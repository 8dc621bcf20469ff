//! A server for any axum app, with bounds on slow clients and a graceful end.

use super::Shutdown;
use super::progress::Progress;
use ::axum::Router;
use ::axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

/// How much of a request or an answer a connection holds at most besides what its handler has; a head must fit, too.
const BUFFER: usize = 64 << 10;

/// What can be set on [`serve`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// How long a client may take to send a request's head, and how long a connection may wait for the next one.
    /// Default: 30 seconds.
    pub head_time: Duration,
    /// How long a client may leave an answer unread before its connection is closed: the longest time in which it takes not
    /// a byte, however long it takes for all of them. Default: 30 seconds.
    pub write_time: Duration,
    /// How long answers under way may take once the server is to stop. Default: 10 seconds.
    pub drain_time: Duration,
    /// The most connections at a time; one more waits to be taken. Default: 10,000.
    pub max_connections: usize,
    /// When to stop.
    pub shutdown: Shutdown,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            head_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            max_connections: 10_000,
            shutdown: Shutdown::new(),
        }
    }
}

/// Serves `app` over HTTP/1.1 until [`Shutdown::begin`], then answers what is under way and returns.
///
/// Handlers get the client's address as [`ConnectInfo<SocketAddr>`].
pub async fn serve(listener: TcpListener, app: Router, options: ServeOptions) {
    let graceful = GracefulShutdown::new();
    let free = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            biased;
            () = options.shutdown.begun() => break,
            accepted = accept(&listener, &free) => accepted,
        };
        let Some((stream, from, permit)) = accepted else { continue };
        let connection = graceful.watch(connection(stream, from, app.clone(), &options));
        tokio::spawn(async move {
            // It ends by an error when the client goes away: nothing to tell anybody.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(options.drain_time, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time and are cut off");
    }
}

async fn accept(
    listener: &TcpListener,
    free: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(free).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, from)) => Some((stream, from, permit)),
        Err(error) => {
            // Out of file descriptors, or a client that has gone already. Others may be served meanwhile.
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

fn connection(
    stream: TcpStream,
    from: SocketAddr,
    app: Router,
    options: &ServeOptions,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send + 'static {
    // Answers are small: waiting to fill a packet would only add delay.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = app.map_request(move |request: http::Request<hyper::body::Incoming>| -> Request {
        let mut request = request.map(::axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        request
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_time)
        .max_buf_size(BUFFER)
        .serve_connection(
            TokioIo::new(Progress::new(stream, options.write_time)),
            TowerToHyperService::new(service),
        )
}

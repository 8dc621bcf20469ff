//! A server for any axum app, with timeouts for slow clients and a graceful shutdown.

use super::shutdown::Shutdown;
use super::write_timeout::WriteTimeout;
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

/// The most bytes that a connection buffers of a request or a response; also the largest head.
const BUFFER: usize = 64 << 10;

/// Options of [`serve`].
///
/// ```
/// use durable_session_http::server::{ServeOptions, Shutdown};
/// use std::time::Duration;
///
/// let shutdown = Shutdown::new();
/// let mut options = ServeOptions::default();
/// options.write_timeout = Duration::from_mins(1);
/// options.max_connections = 1000;
/// options.shutdown = shutdown.clone();
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// How long a client may take to send the head of a request, and how long a connection may be
    /// idle. Default: 30 seconds.
    pub head_timeout: Duration,
    /// How long a client may take no byte of a response; then its connection is closed. The whole
    /// response may take longer. Default: 30 seconds.
    pub write_timeout: Duration,
    /// How long unfinished responses may take after [`Shutdown::begin`]. Default: 10 seconds.
    pub drain_timeout: Duration,
    /// The most connections at a time; another one waits to be accepted. Default: 10,000.
    pub max_connections: usize,
    /// Stops the server.
    pub shutdown: Shutdown,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            max_connections: 10_000,
            shutdown: Shutdown::new(),
        }
    }
}

/// Serves `app` over HTTP/1.1 until [`Shutdown::begin`], then finishes the requests that have begun
/// and returns.
///
/// Handlers get the client's address as [`ConnectInfo<SocketAddr>`].
///
/// ```no_run
/// use durable_session_http::server::{ServeOptions, Shutdown, serve};
///
/// # async fn example(app: axum::Router) -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// let shutdown = Shutdown::new();
/// let mut options = ServeOptions::default();
/// options.shutdown = shutdown.clone();
/// // Elsewhere, such as at a signal: shutdown.begin()
/// serve(listener, app, options).await;
/// shutdown.finished().await;
/// # Ok(())
/// # }
/// ```
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
            // A client that disconnects is an error here and of no interest.
            let _ = connection.await;
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(options.drain_timeout, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections did not end in time and are closed");
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
            // No file descriptor is free, or the client has disconnected. Other connections are
            // served meanwhile.
            tracing::warn!(%error, "a connection could not be accepted");
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
    // Responses are small: waiting to fill a packet would only add delay.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service =
        app.map_request(move |request: http::Request<hyper::body::Incoming>| -> Request {
            let mut request = request.map(::axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo(from));
            request
        });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(
            TokioIo::new(WriteTimeout::new(stream, options.write_timeout)),
            TowerToHyperService::new(service),
        )
}

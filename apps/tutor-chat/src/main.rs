//! The tutoring chat as a service: a page, the session protocol, and the layers of a service around
//! them.
//!
//! `cargo run -p tutor-chat` keeps the conversations in `tutor-chat.redb` in the current folder and
//! prints the address.

mod access;
mod args;
mod backend;
mod client;
mod limit;
mod log;
mod metrics;
mod page;
mod scrub;
mod service;
#[cfg(test)]
mod tests;

use args::Args;
use clap::Parser;
use durable_session_http::server::{self, ServeOptions, Shutdown};
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_max_level(args.log)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .init();

    // Before the store: opening it may take a while and creates a file.
    let listener = listen(args.addr).await?;
    let shutdown = Shutdown::new();
    let backend = backend::open(&args, &shutdown).await?;
    let app = service::app(&args, &backend)?;
    writeln!(std::io::stdout(), "tutor-chat: http://{} ({})", listener.local_addr()?, args.store)?;

    tokio::spawn(stop_on_signal(shutdown.clone()));
    let mut options = ServeOptions::default();
    options.shutdown = shutdown.clone();
    server::serve(listener, app, options).await;
    shutdown.finished().await;
    backend.close().await
}

/// Listens, or says which address failed and which option changes it.
async fn listen(addr: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|e| {
        let advice = match e.kind() {
            ErrorKind::AddrInUse => {
                "another program listens there; stop it, or choose another port with --addr"
            }
            ErrorKind::PermissionDenied => {
                "this user may not listen there; choose a port above 1023 with --addr"
            }
            ErrorKind::AddrNotAvailable => {
                "this machine has no such address; choose one that it has with --addr"
            }
            _ => "choose another address with --addr",
        };
        anyhow::Error::new(e).context(format!("cannot listen on {addr}: {advice}"))
    })
}

/// Waits for Ctrl-C, or for SIGTERM, which service managers send.
async fn stop_on_signal(shutdown: Shutdown) {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
            }
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
    tracing::info!("stopping: the requests under way are answered first");
    shutdown.begin();
}

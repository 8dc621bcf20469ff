//! Clients that never read their answers, and bodies that stop coming: how much memory they cost,
//! and whether others are served meanwhile.

use crate::campaign::Tally;
use anyhow::{Context, Result, bail, ensure};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::Response;
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::Api;
use durable_session_http::server::{
    ByteBudget, RouterOptions, ServeOptions, Shutdown, router, serve,
};
use durable_session_memory::MemoryStore;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

const CLIENTS: u64 = 60;
/// The state that is asked for has 9 MB: far more than the sockets hold.
const MESSAGES: usize = 3_000;
const MESSAGE_BYTES: usize = 3_000;
/// The part of each body that is sent before it stops.
const BODY_BYTES: usize = 4_000_000;
const BUDGET: usize = 32 << 20;
/// The memory that all of them together may cost: a fifth of the bound for 300 clients. Whole
/// answers would be 540 MB, whole bodies 240 MB.
const MOST_MB: u64 = 64;
/// After so long without progress a client is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an attack may take before its end counts as missed.
const LONG: Duration = Duration::from_mins(1);

/// Whether the service has its bounds; without them this must find out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounds {
    Kept,
    #[cfg(test)]
    Removed,
}

#[derive(Debug, Clone, Copy)]
enum Attack {
    Readers,
    Bodies,
}

/// Both attacks.
pub(super) fn clients(tally: &mut Tally) -> Result<()> {
    play(Attack::Readers, Bounds::Kept, tally)?;
    play(Attack::Bodies, Bounds::Kept, tally)
}

fn play(attack: Attack, bounds: Bounds, tally: &mut Tally) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(async {
        let service = Service::start(bounds).await?;
        match attack {
            Attack::Readers => service.readers(tally).await,
            Attack::Bodies => service.bodies(tally).await,
        }
    });
    runtime.shutdown_background();
    result
}

struct Service {
    addr: SocketAddr,
    budget: ByteBudget,
    bounds: Bounds,
}

impl Service {
    async fn start(bounds: Bounds) -> Result<Self> {
        let sessions: ChatSessions = ChatSessions::builder(MemoryStore::new()).build();
        let chat = sessions.session(SessionId::new("large")?);
        let messages = |n: usize| {
            (n..n + 500).map(|n| Message::user(format!("{n:0MESSAGE_BYTES$}"))).collect()
        };
        for n in (0..MESSAGES).step_by(500) {
            chat.add_messages(messages(n)).await?;
        }
        let (mut options, mut serving) = (RouterOptions::default(), ServeOptions::default());
        let kept = bounds == Bounds::Kept;
        options.budget = ByteBudget::new(if kept { BUDGET } else { usize::MAX / 2 });
        options.body_timeout = PATIENCE;
        serving.write_timeout = if kept { PATIENCE } else { LONG * 10 };
        serving.shutdown = Shutdown::new();
        let budget = options.budget.clone();
        let mut app: Router = router(Api::builder(sessions).build()?, options);
        if !kept {
            app = app.layer(middleware::from_fn(in_one_piece));
        }
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        tokio::spawn(serve(listener, app, serving));
        Ok(Self { addr, budget, bounds })
    }

    async fn readers(&self, tally: &mut Tally) -> Result<()> {
        let watch = Watch::begin();
        let mut silent = Vec::new();
        for _ in 0..CLIENTS {
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(4096)?;
            let mut stream = socket.connect(self.addr).await?;
            stream.write_all(b"GET /api/chat/session/large HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            silent.push(stream);
        }
        self.others(tally).await?;
        self.freed("readers").await?;
        tally.add("stalled_readers", CLIENTS);
        watch.verdict("clients that never read", tally)?;
        drop(silent);
        Ok(())
    }

    async fn bodies(&self, tally: &mut Tally) -> Result<()> {
        // Shared by all clients, since their memory is this process's, too.
        let body: Arc<[u8]> = vec![b'x'; BODY_BYTES].into();
        let watch = Watch::begin();
        let senders: Vec<_> = (0..CLIENTS)
            .map(|n| tokio::spawn(stalled_body(self.addr, n, Arc::clone(&body))))
            .collect();
        self.others(tally).await?;
        let mut refused = 0;
        for sender in senders {
            match sender.await?? {
                408 => {}
                503 => refused += 1,
                status => bail!("a body that stops is answered with {status}"),
            }
        }
        self.freed("bodies").await?;
        tally.add("stalled_bodies", CLIENTS);
        tally.add("bodies_beyond_the_budget", refused);
        watch.verdict("bodies that stop", tally)
    }

    /// Meanwhile others are served.
    async fn others(&self, tally: &mut Tally) -> Result<()> {
        for n in 0..40 {
            let message = format!("{{\"role\":\"user\",\"content\":\"{n}\"}}");
            let post = format!(
                "POST /api/chat/session/other/messages HTTP/1.1\r\nhost: x\r\n\
                 connection: close\r\ncontent-length: {}\r\n\r\n{message}",
                message.len()
            );
            let get = "GET /api/chat/session/other/messages?limit=20 HTTP/1.1\r\nhost: x\r\n\
                       connection: close\r\n\r\n";
            for request in [post.as_str(), get] {
                let mut stream = TcpStream::connect(self.addr).await?;
                stream.write_all(request.as_bytes()).await?;
                let status = status(&mut stream).await?;
                ensure!(status == 200, "others are answered with {status} meanwhile");
                tally.add("served_meanwhile", 1);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Waits until nothing is held for them any more.
    async fn freed(&self, whose: &str) -> Result<()> {
        if self.bounds != Bounds::Kept {
            return Ok(());
        }
        let freed = async {
            while self.budget.used() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(LONG, freed)
            .await
            .with_context(|| format!("{} bytes of {whose} are held for ever", self.budget.used()))
    }
}

/// Makes the whole answer before any of it is sent, as a service without bounds does.
async fn in_one_piece(request: Request, next: Next) -> Response {
    let (parts, body) = next.run(request).await.into_parts();
    let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
    Response::from_parts(parts, Body::from(whole))
}

/// Sends most of a body, waits for the answer and tells its status.
async fn stalled_body(addr: SocketAddr, n: u64, body: Arc<[u8]>) -> Result<u16> {
    let mut stream = TcpStream::connect(addr).await?;
    let head = format!(
        "POST /api/chat/session/body-{n}/messages HTTP/1.1\r\nhost: x\r\n\
         content-length: {}\r\n\r\n",
        BODY_BYTES + 1
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    status(&mut stream).await
}

async fn status(stream: &mut TcpStream) -> Result<u16> {
    let mut head = [0; 12];
    tokio::time::timeout(LONG, stream.read_exact(&mut head)).await.context("no answer came")??;
    let status = std::str::from_utf8(&head)?.rsplit(' ').next().unwrap_or_default();
    status.parse().with_context(|| format!("{status:?} is not a status"))
}

/// Watches how much memory this process has.
struct Watch {
    before: Option<u64>,
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Watch {
    fn begin() -> Self {
        let before = resident_kb();
        let (most, over) =
            (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(before.is_none())));
        let watch = Self { before, most: Arc::clone(&most), over: Arc::clone(&over) };
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(resident_kb().unwrap_or(0), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        watch
    }

    fn verdict(self, what: &str, tally: &mut Tally) -> Result<()> {
        let Some(before) = self.before else {
            // Where the system does not tell, this is not known.
            tally.add("memory_not_measured", 1);
            return Ok(());
        };
        let peak = self.most.load(Ordering::Relaxed).saturating_sub(before) >> 10;
        tally.most("stalled_peak_mb", peak);
        ensure!(peak <= MOST_MB, "{CLIENTS} {what} cost {peak} MB; {MOST_MB} are allowed");
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The memory that this process has, if the system tells.
fn resident_kb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::{Attack, Bounds, Tally, play};

    #[test]
    fn the_bounds_keep_memory_small_and_without_them_the_verdict_turns() {
        for (attack, what) in
            [(Attack::Readers, "clients that never read"), (Attack::Bodies, "bodies that stop")]
        {
            let mut tally = Tally::new("kept", super::super::KINDS, None);
            play(attack, Bounds::Kept, &mut tally).unwrap();
            if tally.to_string().contains("memory_not_measured") {
                println!("note: not run: this system does not tell how much memory a process has");
                continue;
            }
            let told = play(
                attack,
                Bounds::Removed,
                &mut Tally::new("removed", super::super::KINDS, None),
            )
            .unwrap_err()
            .to_string();
            assert!(told.contains(&format!("{what} cost")), "{told}");
        }
    }
}

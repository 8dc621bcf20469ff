//! The cost of HTTP on top of the store: the same messages are put into the bare store, through the
//! sessions, through the router, and through the whole chat service, one after the other on one
//! machine.
//!
//! Needs `wrk` and a release build of the service:
//! `cargo build --release -p tutor-chat && cargo run --release -p tutor-chat --example load`

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use durable_session::store::{
    Commit, CommitOutcome, Expect, ListQuery, Op, SessionList, SessionStore,
};
use durable_session::{ChatSessions, Message, SessionId};
use durable_session_http::Api;
use durable_session_http::server::{RouterOptions, ServeOptions, Shutdown, router, serve};
use durable_session_redb::RedbStore;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const CLIENTS: usize = 64;
/// Sessions, used in turn by each client; each session has one client.
const SESSIONS_EACH: usize = 16;

/// One way to put messages in.
struct Figures {
    name: &'static str,
    per_second: f64,
    p50: f64,
    p99: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let seconds: u64 =
        std::env::args().nth(1).map_or(Ok(60), |s| s.parse()).context("seconds, such as 60")?;
    let time = Duration::from_secs(seconds);
    let figures =
        [bare_store(time).await?, sessions(time).await?, routes(time).await?, service(time).await?];
    let base = figures[0].per_second;
    println!("{CLIENTS} clients, {seconds} s each, one message of 400 bytes a request\n");
    println!("| way | messages/s | of the bare store | p50 | p99 |\n|---|---|---|---|---|");
    for Figures { name, per_second, p50, p99 } in figures {
        println!(
            "| {name} | {per_second:.0} | {:.2} | {p50:.1} ms | {p99:.1} ms |",
            per_second / base
        );
    }
    Ok(())
}

fn message() -> Message {
    Message::user("x".repeat(400 - r#"{"role":"user","content":""}"#.len()))
}

fn folder() -> Result<tempfile::TempDir> {
    // Beside the build, not in a folder that may be in memory only.
    let target =
        std::env::current_exe()?.parent().context("the program lies in a folder")?.to_owned();
    Ok(tempfile::tempdir_in(target)?)
}

fn id(client: usize, turn: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("load-{client}-{}", turn % SESSIONS_EACH))?)
}

fn figures(name: &'static str, took: Duration, mut waits: Vec<Duration>) -> Figures {
    waits.sort_unstable();
    let at = |share: usize| {
        waits.get(waits.len() * share / 100).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    #[allow(clippy::cast_precision_loss)]
    let per_second = waits.len() as f64 / took.as_secs_f64();
    Figures { name, per_second, p50: at(50), p99: at(99) }
}

/// Runs `client` for each of the clients until the time is over; it returns how long each message
/// took.
async fn run<F>(
    name: &'static str,
    time: Duration,
    client: impl Fn(usize, Instant) -> F,
) -> Result<Figures>
where
    F: Future<Output = Result<Vec<Duration>>> + Send + 'static,
{
    let started = Instant::now();
    let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(n, started + time))).collect();
    let mut waits = Vec::new();
    for client in clients {
        waits.extend(client.await??);
    }
    Ok(figures(name, started.elapsed(), waits))
}

async fn bare_store(time: Duration) -> Result<Figures> {
    let folder = folder()?;
    let store = RedbStore::open(folder.path().join("chat.redb"))?;
    let body = Bytes::from(message().as_json().to_owned());
    let figures = run("the bare store", time, |client, end| {
        let (store, body) = (store.clone(), body.clone());
        async move {
            let mut expected = [Expect::absent(1); SESSIONS_EACH];
            let mut waits = Vec::new();
            for turn in 0.. {
                let begun = Instant::now();
                if begun >= end {
                    break;
                }
                let expect = &mut expected[turn % SESSIONS_EACH];
                let commit = Commit::new(*expect, vec![Op::append(body.clone())], 1);
                let CommitOutcome::Committed(head) =
                    store.commit(&id(client, turn)?, commit).await?
                else {
                    anyhow::bail!("nobody else writes to this session");
                };
                *expect = head.expect();
                waits.push(begun.elapsed());
            }
            Ok(waits)
        }
    })
    .await;
    store.close().await?;
    figures
}

async fn sessions(time: Duration) -> Result<Figures> {
    let folder = folder()?;
    let store = RedbStore::open(folder.path().join("chat.redb"))?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let figures = run("sessions", time, |client, end| {
        let sessions = sessions.clone();
        async move {
            let mut waits = Vec::new();
            for turn in 0.. {
                let begun = Instant::now();
                if begun >= end {
                    break;
                }
                sessions.session(id(client, turn)?).add_message(message()).await?;
                waits.push(begun.elapsed());
            }
            Ok(waits)
        }
    })
    .await;
    sessions.close().await?;
    store.close().await?;
    figures
}

async fn routes(time: Duration) -> Result<Figures> {
    let folder = folder()?;
    let store = RedbStore::open(folder.path().join("chat.redb"))?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let shutdown = Shutdown::new();
    let (mut routing, mut serving) = (RouterOptions::default(), ServeOptions::default());
    routing.shutdown = shutdown.clone();
    serving.shutdown = shutdown.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let app = router(Api::builder(sessions.clone()).build()?, routing);
    let server = tokio::spawn(serve(listener, app, serving));
    let script = folder.path().join("post.lua");
    let (figures, answered) =
        tokio::task::spawn_blocking(move || wrk("the routes (axum)", &address, time, &script))
            .await??;
    shutdown.begin();
    server.await?;
    shutdown.finished().await;
    sessions.close().await?;
    check(&store, answered, 1).await?;
    store.close().await?;
    Ok(figures)
}

async fn service(time: Duration) -> Result<Figures> {
    let folder = folder()?;
    let file = folder.path().join("chat.redb");
    let program = std::env::current_exe()?.with_file_name("../tutor-chat");
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let mut service = Command::new(program)
        .args([
            "--addr",
            &address,
            "--rate",
            "0",
            "--log",
            "warn",
            "--stream-ms",
            "0",
            "--store",
            &format!("redb:{}", file.display()),
        ])
        .spawn()
        .context("build it first: cargo build --release -p tutor-chat")?;
    while tokio::net::TcpStream::connect(&address).await.is_err() {
        ensure!(service.try_wait()?.is_none(), "the service did not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let script = folder.path().join("post.lua");
    let measured = tokio::task::spawn_blocking(move || {
        wrk("the chat service, which answers each message", &address, time, &script)
    })
    .await?;
    // As a service manager stops it.
    Command::new("kill").arg(service.id().to_string()).status()?;
    ensure!(service.wait()?.success(), "the service did not end well");
    let (figures, answered) = measured?;
    let store = RedbStore::open(&file)?;
    check(&store, answered, 2).await?;
    store.close().await?;
    Ok(figures)
}

/// Every answered message is stored, and at most the messages under way at the end beside them.
async fn check(store: &RedbStore, answered: u64, each: u64) -> Result<()> {
    let mut stored = 0;
    let mut query = ListQuery::all(1000);
    loop {
        let page = store.list(&query).await?;
        for session in page.sessions {
            let head = session.head?;
            stored += head.messages;
        }
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    // The service's sessions begin with a greeting.
    let greetings = if each == 2 { (CLIENTS * SESSIONS_EACH) as u64 } else { 0 };
    let least = answered * each;
    ensure!(stored >= least, "{answered} answers, but only {stored} messages are stored");
    ensure!(
        stored <= least + CLIENTS as u64 * each + greetings,
        "{answered} answers, and {stored} messages are stored"
    );
    Ok(())
}

/// Drives a server with wrk; returns its figures and how many requests were answered.
fn wrk(name: &'static str, address: &str, time: Duration, script: &Path) -> Result<(Figures, u64)> {
    let lua = format!(
        r#"
local turn = 0
local body = '{body}'
wrk.headers["content-type"] = "application/json"
function request()
  turn = turn + 1
  local path = "/api/chat/session/load-" .. turn % {sessions} .. "/messages"
  return wrk.format("POST", path, nil, body)
end
function done(summary, latency, requests)
  local e = summary.errors
  local errors = e.connect + e.read + e.write + e.status + e.timeout
  local times = latency:percentile(50) .. " " .. latency:percentile(99)
  io.write("RESULT ", summary.requests, " ", summary.duration, " ", errors, " ", times, "\n")
end
"#,
        body = message().as_json(),
        sessions = CLIENTS * SESSIONS_EACH,
    );
    std::fs::write(script, lua)?;
    let seconds = format!("{}s", time.as_secs());
    let url = format!("http://{address}");
    let output = Command::new("wrk")
        .args(["-t", "2", "-c", &CLIENTS.to_string(), "-d", &seconds, "-s"])
        .arg(script)
        .arg(url)
        .output()
        .context("wrk is needed")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("RESULT "))
        .with_context(|| text.clone().into_owned())?;
    let numbers = line.split(' ').map(str::parse::<f64>).collect::<Result<Vec<_>, _>>()?;
    let [requests, microseconds, errors, p50, p99] = numbers[..] else { anyhow::bail!("{line}") };
    ensure!(errors == 0.0, "there were {errors} errors");
    let figures =
        Figures { name, per_second: requests / microseconds * 1e6, p50: p50 / 1e3, p99: p99 / 1e3 };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok((figures, requests as u64))
}

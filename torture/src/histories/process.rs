//! Clients in other processes, each process with a store and a session registry of its own.
//!
//! A line to a process is `TAG ID add VALUE`, `TAG ID pop` or `TAG ID read`, and a line from it
//! `TAG added`, `TAG popped [VALUE]`, `TAG content [VALUE,…]` or `TAG failed WHY`.

use super::checker::{Answer, Call};
use super::client::Client;
use crate::processes::tell;
use anyhow::{Context, Result, anyhow, bail};
use durable_session::{ChatSessions, SessionId};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The part of a process with clients: answers the calls of standard input, all at once.
pub(crate) fn serve(url: &str) -> Result<()> {
    let store = block_on(PostgresStore::builder(url).open())?;
    let sessions: ChatSessions = ChatSessions::builder(store).attempts(1000).build();
    let client = Client::Direct(sessions);
    std::thread::scope(|scope| {
        for line in std::io::stdin().lines() {
            let (line, client) = (line?, &client);
            scope.spawn(move || {
                let (tag, call) = line.split_once(' ').unwrap_or((&line, ""));
                let answer = answered(client, call);
                let told = answer.unwrap_or_else(|e| format!("failed {e:#}").replace('\n', " "));
                // The parent has ended if nobody reads it.
                let _ = tell(&format!("{tag} {told}\n"));
            });
        }
        Ok(())
    })
}

fn answered(client: &Client, call: &str) -> Result<String> {
    let words: Vec<&str> = call.split(' ').collect();
    let (id, call) = match words[..] {
        [id, "add", value] => (id, Call::Add(value.parse()?)),
        [id, "pop"] => (id, Call::Pop),
        [id, "read"] => (id, Call::Read),
        _ => bail!("no such call"),
    };
    let list = |values: &[u32]| values.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    Ok(match client.call(&SessionId::new(id)?, &call)? {
        Answer::Added => "added".to_owned(),
        Answer::Popped(popped) => format!("popped {}", list(popped.as_slice())),
        Answer::Content(content) => format!("content {}", list(&content)),
    })
}

/// A process with clients. It is killed when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Process(Arc<Inner>);

struct Inner {
    child: Mutex<Child>,
    input: Mutex<ChildStdin>,
    waiting: Arc<Mutex<HashMap<u64, Sender<String>>>>,
    next: AtomicU64,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    pub(super) fn start(url: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--clients", url]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let input = child.stdin.take().context("the process has no input")?;
        let output = child.stdout.take().context("the process has no output")?;
        let waiting: Arc<Mutex<HashMap<u64, Sender<String>>>> = Arc::default();
        let answers = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let answer = line.split_once(' ').and_then(|(tag, answer)| {
                    let sender = lock(&answers).remove(&tag.parse().ok()?)?;
                    Some((sender, answer.to_owned()))
                });
                if let Some((sender, answer)) = answer {
                    let _ = sender.send(answer);
                }
            }
            // The process has ended: nobody waits any longer.
            lock(&answers).clear();
        });
        let next = AtomicU64::new(0);
        let (child, input) = (Mutex::new(child), Mutex::new(input));
        Ok(Self(Arc::new(Inner { child, input, waiting, next })))
    }

    pub(super) fn call(&self, id: &SessionId, call: &Call) -> Result<Answer> {
        let tag = self.0.next.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = channel();
        lock(&self.0.waiting).insert(tag, sender);
        let call = match call {
            Call::Add(value) => format!("add {value}"),
            Call::Pop => "pop".to_owned(),
            Call::Read => "read".to_owned(),
        };
        // One write, so that calls are not mixed.
        lock(&self.0.input).write_all(format!("{tag} {} {call}\n", id.as_str()).as_bytes())?;
        let answer = answer.recv().map_err(|_| anyhow!("the process of a client ended"))?;
        let (what, values) = answer.split_once(' ').unwrap_or((&answer, ""));
        let values = || {
            let values = values.split(',').filter(|value| !value.is_empty());
            values.map(|value| Ok(value.parse()?)).collect::<Result<Vec<u32>>>()
        };
        match what {
            "added" => Ok(Answer::Added),
            "popped" => Ok(Answer::Popped(values()?.first().copied())),
            "content" => values().map(Answer::Content),
            _ => bail!("a process answers {answer:?}"),
        }
    }
}

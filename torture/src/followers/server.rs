//! The server that is killed: the routes over HTTP, and producers that write replies.

use super::script::{self, ENDLESS, End, PAIRS, PUMPED, SESSIONS, chunk, plan};
use crate::processes::{StoreOptions, tell};
use anyhow::{Context, Result, bail, ensure};
use durable_session::{ChatSession, ChatSessions, Error, Followed, Message, Opened, Reply};
use durable_session_http::Api;
use durable_session_http::server::{RouterOptions, ServeOptions, router, serve};
use futures_util::future::{join, try_join};
use futures_util::stream;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::Path;

pub(super) const QUIET: &str = "TORTURE_QUIET";

/// The replies that a producer writes in one life of the server: so few that the changes of a
/// session never outrun a follower, which would have to begin anew.
const REPLIES: usize = 24;

/// Serves until killed. The parent gives the listener as the standard input and keeps it: the port
/// stays the same, and a connection that is made meanwhile waits for the next server.
pub(crate) fn run(file: &Path) -> Result<()> {
    let listener = TcpListener::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    let store = StoreOptions::open(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store).build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        if std::env::var_os(QUIET).is_none() {
            for session in 0..SESSIONS {
                let chat = sessions.session(script::id(session)?);
                tokio::spawn(async move {
                    if let Err(error) = produce(&chat, session).await {
                        eprintln!("producer of session {session}: {error:#}");
                        std::process::exit(1);
                    }
                });
            }
        }
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let app = router(Api::builder(sessions).build()?, RouterOptions::default());
        serve(listener, app, ServeOptions::default()).await;
        Ok(())
    })
}

/// Answers one question after the other.
async fn produce(chat: &ChatSession, session: usize) -> Result<()> {
    let mut seq = chat.snapshot().await?.next_seq();
    if seq > 2 {
        ask_again(chat, session, seq - 2).await?;
    }
    for _ in 0..REPLIES {
        let reply = ask(chat, session, seq).await?;
        if session == PAIRS {
            let other = ask(chat, session, seq + 2).await?;
            try_join(write(chat, session, reply), write(chat, session, other)).await?;
            seq += 2;
        } else {
            write(chat, session, reply).await?;
        }
        seq += 2;
    }
    Ok(())
}

async fn post(chat: &ChatSession, session: usize, seq: u64) -> Result<Opened, Error> {
    let question = script::message(session, seq).map_err(Error::rejected)?;
    chat.reply(|draft| {
        draft.add_message(question.clone())?;
        Ok(Message::assistant(""))
    })
    .await
}

async fn ask(chat: &ChatSession, session: usize, seq: u64) -> Result<Reply> {
    match post(chat, session, seq).await? {
        Opened::New(reply) => {
            ensure!(reply.seq() == seq + 1, "the answer to {seq} is message {}", reply.seq());
            Ok(reply)
        }
        other => bail!("a new question finds {other:?}"),
    }
}

/// Posts the last question of an earlier life again: its answer was begun, so it has ended or is
/// about to, and nothing is produced twice.
async fn ask_again(chat: &ChatSession, session: usize, seq: u64) -> Result<()> {
    match post(chat, session, seq).await? {
        Opened::New(_) => bail!("question {seq} is answered twice"),
        Opened::Running(mut follow) => {
            let mut next = 0;
            while let Followed::Chunk { at, json } = follow.next().await? {
                let is_next = at == next && json == script::chunk_json(session, seq + 1, at);
                ensure!(is_next, "chunk {at} of the answer to {seq} comes as number {next}");
                next += 1;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Writes a reply, and tells the parent how it ended as every caller was told that ends it.
async fn write(chat: &ChatSession, session: usize, mut reply: Reply) -> Result<()> {
    let seq = reply.seq();
    let plan = plan(session, seq);
    if session == PUMPED {
        let chunks = (0..plan.chunks).map(|at| chunk(session, seq, at));
        reply.pump(stream::iter(chunks)).await?;
    } else {
        for at in 0..plan.chunks {
            reply.push(chunk(session, seq, at)).await?;
        }
    }
    let told = |how: &dyn std::fmt::Display| tell(&format!("told {session} {seq} {how}\n"));
    match plan.end {
        End::Never | End::Drop => drop(reply),
        End::Finish => {
            reply.finish().await?;
            told(&"finished")?;
        }
        End::Fail => {
            reply.fail(script::REASON).await?;
            told(&"failed")?;
        }
        End::Stop => {
            told(&chat.stop(seq).await?.how)?;
            match reply.push("too late").await {
                Err(Error::ReplyEnded { how, .. }) => told(&how)?,
                other => bail!("a push to a reply that was stopped: {other:?}"),
            }
        }
        End::Race => {
            let (stopped, finished) = join(chat.stop(seq), reply.finish()).await;
            told(&stopped?.how)?;
            match finished {
                Ok(_) => told(&"finished")?,
                Err(Error::ReplyEnded { how, .. }) => told(&how)?,
                Err(error) => return Err(error.into()),
            }
        }
    }
    ensure!(session != ENDLESS, "a reply without an end has ended");
    Ok(())
}

//! Replies: 64 that are written at once, and one of many chunks.

use crate::io::{Written, most_resident, resident};
use crate::values::Values;
use anyhow::{Result, bail, ensure};
use durable_session::{
    ChatSession, ChatSessions, Followed, Message, Opened, Reply, ReplyEnd, SessionId,
};
use durable_session_redb::RedbStore;
use futures_util::stream;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

const REPLIES: u32 = 64;
const FOLLOWERS: usize = 2;
/// The time from one token of a reply to the next.
const EACH: Duration = Duration::from_millis(10);
/// Four bytes.
const TOKEN: &str = "word";

/// 64 replies of 100 tokens per second, each with two followers. The time of a token runs from the
/// moment at which its model is due to give it.
pub(super) fn many(runtime: &Runtime, file: &Path, seconds: f64) -> Result<Values> {
    let opening = Written::so_far()?;
    let store = RedbStore::open(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let opened = (0..REPLIES).map(|n| {
        let chat = sessions.session(SessionId::new(format!("session-{n}"))?);
        let reply = runtime.block_on(open(&chat))?;
        Ok((chat, reply))
    });
    let opened: Vec<(ChatSession, Reply)> = opened.collect::<Result<_>>()?;
    let time = Duration::from_secs_f64(seconds);
    let tokens = u64::try_from(time.as_nanos() / EACH.as_nanos())?;
    let (began, batches) = (Written::so_far()?, store.stats().batches);
    let start = Instant::now() + Duration::from_millis(100);
    let (mut producers, mut followers) = (Vec::new(), Vec::new());
    for (n, (chat, reply)) in (0..).zip(opened) {
        // They take turns.
        let first = start + EACH * n / REPLIES;
        for _ in 0..FOLLOWERS {
            followers.push(runtime.spawn(times(chat.clone(), reply.seq(), first)));
        }
        producers.push(runtime.spawn(produce(reply, first, tokens)));
    }
    let mut replies = all(runtime, producers)?;
    let pushed = Written::so_far()?.since(began);
    let syncs = store.stats().batches - batches;
    for reply in &mut replies {
        runtime.block_on(reply.finish())?;
    }
    let shown = all(runtime, followers)?.concat();
    let tokens = tokens * u64::from(REPLIES);
    ensure!(shown.len() as u64 == tokens * FOLLOWERS as u64, "{} were shown", shown.len());
    runtime.block_on(store.close())?;
    let written = Written::so_far()?.since(opening);
    let mut values = Values::default();
    values.count("tokens", tokens);
    values.times("shown_", shown);
    values.per("syncs", syncs, tokens);
    values.per("log_bytes", pushed.calls, tokens);
    values.per("kernel_bytes", written.pages, tokens);
    values.per("kernel_bytes_before_end", pushed.pages, tokens);
    Ok(values)
}

/// One reply of so many chunks, each of an extension of its own: the times to write, follow,
/// finish and stop it, and the memory.
pub(super) fn long(runtime: &Runtime, file: &Path, chunks: u64) -> Result<Values> {
    let store = RedbStore::open(file)?;
    let sessions: ChatSessions = ChatSessions::builder(store.clone()).build();
    let chat = sessions.session(SessionId::new("session")?);
    let mut values = Values::default();
    let before = resident()?;
    for (name, stops) in [("finish_ms", false), ("stop_ms", true)] {
        let mut reply = runtime.block_on(open(&chat))?;
        let began = Instant::now();
        runtime.block_on(async {
            for _ in 0..chunks {
                reply.push(TOKEN).await?;
            }
            anyhow::Ok(())
        })?;
        values.ms("write_ms", began.elapsed());
        let began = Instant::now();
        runtime.block_on(follow(&chat, reply.seq(), chunks))?;
        values.ms("follow_ms", began.elapsed());
        // Another registry has nothing of it in memory.
        let others: ChatSessions = ChatSessions::builder(store.clone()).build();
        let other = others.session(chat.id().clone());
        let began = Instant::now();
        runtime.block_on(follow(&other, reply.seq(), chunks))?;
        values.ms("follow_stored_ms", began.elapsed());
        let began = Instant::now();
        let message = if stops {
            let ended = runtime.block_on(chat.stop(reply.seq()))?;
            ensure!(ended.how == ReplyEnd::Stopped, "it was {}", ended.how);
            ended.message
        } else {
            Some(runtime.block_on(reply.finish())?)
        };
        values.ms(name, began.elapsed());
        let text = message.and_then(|stored| stored.message.text().map(|text| text.len() as u64));
        ensure!(text == Some(chunks * TOKEN.len() as u64), "the message has {text:?} bytes");
    }
    values.per("memory_mib", most_resident()?.saturating_sub(before), 1 << 20);
    runtime.block_on(store.close())?;
    Ok(values)
}

async fn open(chat: &ChatSession) -> Result<Reply> {
    let opened = chat.reply(|draft| {
        draft.add_message(Message::user("Explain lifetimes"))?;
        Ok(Message::assistant(""))
    });
    match opened.await? {
        Opened::New(reply) => Ok(reply),
        other => bail!("the reply is not new: {other:?}"),
    }
}

/// Hands over one token after the other, as a model gives them.
async fn produce(mut reply: Reply, first: Instant, tokens: u64) -> Result<Reply> {
    let model = tokio::time::interval_at(first.into(), EACH);
    let model = stream::unfold((model, tokens), async |(mut model, left)| {
        let left = left.checked_sub(1)?;
        model.tick().await;
        Some((TOKEN, (model, left)))
    });
    reply.pump(model).await?;
    Ok(reply)
}

/// How long after its time each token was shown.
async fn times(chat: ChatSession, seq: u64, first: Instant) -> Result<Vec<Duration>> {
    let mut follow = chat.follow(seq, 0).await?;
    let (mut due, mut times) = (first, Vec::new());
    while let Followed::Chunk { .. } = follow.next().await? {
        times.push(due.elapsed());
        due += EACH;
    }
    Ok(times)
}

/// Follows an open reply up to its last chunk.
async fn follow(chat: &ChatSession, seq: u64, chunks: u64) -> Result<()> {
    let mut follow = chat.follow(seq, 0).await?;
    while follow.at() < chunks {
        if let Followed::Ended(ended) = follow.next().await? {
            bail!("it was {} at {}", ended.how, follow.at());
        }
    }
    Ok(())
}

fn all<T>(runtime: &Runtime, tasks: Vec<JoinHandle<Result<T>>>) -> Result<Vec<T>> {
    tasks.into_iter().map(|task| runtime.block_on(task)?).collect()
}

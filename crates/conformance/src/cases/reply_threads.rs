//! Replies with producers and writers in threads (S10, S2).

use super::threads::{Ended, append_anyhow, run};
use crate::Failure;
use crate::failure::{ensure, ensure_eq};
use crate::fixture::{Checked, Fixture, append, body, on, range, session};
use crate::replying::{CLAIM, OTHER, close, counts, extension, open};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Claim, CommitOutcome, ExtendOutcome, LoadOutcome, SessionStore,
};
use futures_executor::block_on;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const CHUNKS: u64 = 60;

type Thread = Box<dyn FnOnce() -> Checked + Send>;

/// Adds chunks one by one, each with the reply's seq and its own number, and beats in between.
fn producer(store: Arc<dyn SessionStore>, id: SessionId, seq: u64, claim: Claim) -> Thread {
    Box::new(move || {
        for n in 0..CHUNKS {
            let outcome =
                block_on(store.extend(&id, extension(seq, claim, n, &[&format!("{seq} {n}")])))?;
            ensure_eq!(
                outcome,
                ExtendOutcome::Extended(counts(n + 1, n / 10)),
                "chunk {n} of seq {seq}"
            );
            if n % 10 == 9 {
                block_on(store.extend(&id, extension(seq, claim, 0, &[])))?;
            }
        }
        Ok(())
    })
}

fn produced(seq: u64) -> Vec<Bytes> {
    (0..CHUNKS).map(|n| body(&format!("{seq} {n}"))).collect()
}

pub(crate) async fn producers_in_threads_lose_nothing_beside_commits(t: &mut Fixture) -> Checked {
    const COMMITS: u64 = 30;
    let id = session()?;
    let head = t.create(&id, vec![open("a", CLAIM), open("b", OTHER)]).await?;
    let (store, written) = (t.store(), id.clone());
    let writer: Thread = Box::new(move || {
        let mut head = head;
        for n in 0..COMMITS {
            let after = block_on(append_anyhow(&*store, &written, &n.to_string(), head))?;
            ensure_eq!(
                after.version,
                head.version.next(),
                "the version after the only writer's commit"
            );
            head = after;
        }
        Ok(())
    });
    run(vec![
        writer,
        producer(t.store(), id.clone(), 1, CLAIM),
        producer(t.store(), id.clone(), 2, OTHER),
    ])?;

    for seq in [1, 2] {
        let page = t.chunks(&id, ChunkQuery::from(seq, 0)).await?;
        ensure_eq!(page.chunks, produced(seq), "the chunks of the reply at seq {seq}");
        ensure_eq!(page.reply.counts, counts(CHUNKS, CHUNKS / 10), "its counts");
    }
    let loaded = t.all(&id).await?;
    let texts: Vec<_> = loaded.tail.iter().skip(2).map(|row| row.body.clone()).collect();
    ensure_eq!(
        texts,
        (0..COMMITS).map(|n| body(&n.to_string())).collect::<Vec<_>>(),
        "the committed texts"
    );
    let both = [(1, CLAIM), (2, OTHER)];
    let closes = both.map(|(seq, claim)| close(seq, claim, counts(CHUNKS, CHUNKS / 10), "end"));
    t.change(&id, loaded.head, closes.to_vec()).await?;
    Ok(())
}

pub(crate) async fn readers_in_threads_see_chunks_in_order(t: &mut Fixture) -> Checked {
    let id = session()?;
    t.create(&id, vec![open("a", CLAIM)]).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let (produce, end) = (producer(t.store(), id.clone(), 1, CLAIM), Ended(ended.clone()));
    let mut threads: Vec<Thread> = vec![Box::new(move || {
        let _end = end;
        produce()
    })];
    for _ in 0..2 {
        let (store, id, ended) = (t.store(), id.clone(), ended.clone());
        threads.push(Box::new(move || {
            let mut seen: Vec<Bytes> = Vec::new();
            loop {
                let last = ended.load(Ordering::Acquire);
                let query = ChunkQuery::from(1, seen.len() as u64);
                let Some(page) = block_on(store.read_chunks(&id, query))? else {
                    return Err(Failure::new("an open reply vanished while it grew"));
                };
                seen.extend(page.chunks);
                ensure_eq!(
                    page.reply.counts.chunks,
                    seen.len() as u64,
                    "the counts beside all chunks"
                );
                ensure!(seen[..] == produced(1)[..seen.len()], "a reader saw other chunks");
                if last {
                    ensure_eq!(
                        seen.len() as u64,
                        CHUNKS,
                        "the chunks that a reader saw in the end"
                    );
                    return Ok(());
                }
            }
        }));
    }
    run(threads)
}

pub(crate) async fn a_close_in_a_thread_counts_every_acknowledged_chunk(
    t: &mut Fixture,
) -> Checked {
    for round in 0..8 {
        let id = crate::fixture::id(&format!("session-{round}"))?;
        t.create(&id, vec![append("a"), open("", CLAIM)]).await?;
        let acknowledged = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let (store, extended, told) = (t.store(), id.clone(), acknowledged.clone());
        let produce: Thread = Box::new(move || {
            // The number of chunks is bounded, so that the close succeeds in the end.
            for n in 0..CHUNKS {
                match block_on(store.extend(&extended, extension(2, CLAIM, n, &["x"])))? {
                    ExtendOutcome::Extended(counts) => told.store(counts.chunks, Ordering::Release),
                    ExtendOutcome::Ended => return Ok(()),
                    ExtendOutcome::Gap(counts) => {
                        return Err(Failure::new(format_args!(
                            "chunk {n} is beyond the current {counts:?}"
                        )));
                    }
                }
            }
            Ok(())
        });
        let (store, closed) = (t.store(), id.clone());
        let end: Thread = Box::new(move || block_on(close_with_current_counts(&*store, &closed)));
        run(vec![produce, end])?;
        let page = t.page(&id, range(2, 2)).await?;
        let closed = page.rows.first().map(|row| row.body.len() as u64);
        let told = acknowledged.load(Ordering::Acquire);
        ensure_eq!(
            closed,
            Some(told),
            "the number of chunks in the close, compared with the acknowledged ones"
        );
    }
    Ok(())
}

/// Closes the reply at seq 2 with a body of as many bytes as it has chunks. Repeats it while the
/// reply grows.
async fn close_with_current_counts(store: &dyn SessionStore, id: &SessionId) -> Checked {
    let LoadOutcome::Loaded(loaded) = store.load(id, crate::fixture::WHOLE).await? else {
        return Err(Failure::new("a session vanished while its reply grew"));
    };
    let Some(reply) = loaded.replies.first() else {
        return Err(Failure::new("an open reply vanished while it grew"));
    };
    let mut counts = reply.counts;
    loop {
        let text = "x".repeat(usize::try_from(counts.chunks).map_err(Failure::new)?);
        let commit = on(loaded.head, vec![close(2, CLAIM, counts, &text)]);
        match store.commit(id, commit).await? {
            CommitOutcome::Committed(_) => return Ok(()),
            CommitOutcome::Grew { seq: 2, counts: has } => {
                ensure!(has.chunks > counts.chunks, "a reply grew from {counts:?} to {has:?}");
                counts = has;
            }
            other => return Err(Failure::new(format_args!("a close ended as {other:?}"))),
        }
    }
}

//! Looking at everything of a store that may be damaged.

use super::listed;
use super::sample::{Sample, Sessions};
use crate::campaign::Tally;
use crate::model::{self, ALL, Chunk, Seen, Session};
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    ChunkQuery, Commit, DeleteIf, Extension, LoadOutcome, Loaded, NewMessage, Op, OpenReply,
    ReadQuery, ReplyCounts, Row, SessionStore, StoreError, StoreErrorKind,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;

const EVERYTHING: ReadQuery = ReadQuery::forward(1, u64::MAX);

/// Differences between a damaged file and the sessions that were stored in it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Answers that name the damage.
    pub(super) named: u64,
    /// Differences that no answer names. Content that was never stored is not counted here: it
    /// fails the case at once.
    pub(super) silent: Broken,
    /// Those of them that say that something is not there.
    pub(super) absent: Broken,
    /// Those of them that show a session that was deleted.
    pub(super) deleted: Broken,
}

impl Findings {
    /// redb looks at no checksum when it searches: a damaged key can hide a row. Verification has
    /// to tell.
    pub(super) fn verification_names_silent_damage(&self, store: &RedbStore) -> Result<()> {
        let told = block_on(store.verify(|_| {}))
            .map_or(true, |verification| !verification.damage.is_empty());
        if !told {
            self.silent.clone().into_result().context("verification says nothing, either")?;
        }
        Ok(())
    }

    /// An answer says that something is not there, although it is.
    pub(super) fn absent(&mut self, told: String) {
        let broken = Broken::new(Kind::Lost, 1, told);
        self.silent.join(broken.clone());
        self.absent.join(broken);
    }

    fn error(&mut self, id: &SessionId, error: &StoreError) -> Result<()> {
        self.named += 1;
        // After a page beyond the end, the file is opened again; until then the store is not to be
        // had.
        let waits = error.kind() == StoreErrorKind::Unavailable
            && format!("{error:?}").contains("PreviousIo");
        ensure!(
            error.kind() == StoreErrorKind::Corrupt || waits,
            "damage is answered with {error:?}"
        );
        ensure!(
            error.session() == Some(id),
            "the damage of {id:?} is said to be of {:?}",
            error.session()
        );
        Ok(())
    }
}

impl Findings {
    fn chunk_error(&mut self, id: &SessionId, seq: u64, error: &StoreError) -> Result<()> {
        self.error(id, error)?;
        // A page of the file that cannot be read has no seq.
        let right = error.seq().is_none_or(|named| named == seq);
        ensure!(right, "damage of chunks on message {seq} is said to be elsewhere: {error:?}");
        Ok(())
    }
}

/// Loads, reads, salvages and lists everything.
pub(super) fn examine(
    store: &RedbStore,
    sessions: &Sessions,
    tally: &mut Tally,
) -> Result<Findings> {
    let mut findings = Findings::default();
    for (id, state) in sessions {
        let name = id.as_str();
        let Some(session) = state else {
            tally.checked(1);
            if let Ok(LoadOutcome::Loaded(_)) = block_on(store.load(id, ALL)) {
                let broken = Broken::new(Kind::Ghosts, 1, format!("{name} is there"));
                findings.silent.join(broken.clone());
                findings.deleted.join(broken);
            }
            continue;
        };
        tally.add("sessions", 1);
        match block_on(store.load(id, ALL)) {
            Err(error) => findings.error(id, &error)?,
            Ok(outcome) => match outcome.loaded() {
                None => {
                    findings.absent(format!("{name} is absent"));
                }
                Some(loaded) => whole(store, id, session, loaded, &mut findings, tally)?,
            },
        }
        match block_on(store.read(id, EVERYTHING)) {
            Err(error) => findings.error(id, &error)?,
            Ok(None) => {
                findings.absent(format!("{name} is absent for a read"));
            }
            Ok(Some(mut page)) => {
                tally.sees(&mut page.rows, model::ghost);
                tally.checked(1 + page.rows.len());
                are_true(id, session, &page.rows)?;
                findings.silent.join(model::compare_rows(&session.rows, &page.rows).within(name));
            }
        }
        salvaged_is_true(store, id, session, &mut findings, tally)?;
    }
    listed::check(store, sessions, &mut findings, tally)?;
    Ok(findings)
}

/// A session that could be loaded, and the chunks of its open replies, as far as they can be read.
fn whole(
    store: &RedbStore,
    id: &SessionId,
    session: &Session,
    loaded: Loaded,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Result<()> {
    let name = id.as_str();
    let mut seen = Seen { loaded, chunks: Vec::new() };
    let mut named = false;
    for reply in &seen.loaded.replies {
        let seq = reply.seq;
        let mut found = |offset, texts: Vec<Bytes>| {
            let texts = (offset..).zip(texts);
            seen.chunks.extend(texts.map(|(offset, text)| Chunk { seq, offset, text }));
        };
        match block_on(store.read_chunks(id, ChunkQuery::from(seq, 0))) {
            Ok(Some(page)) => found(0, page.chunks),
            Ok(None) => {
                let told = format!("{name}: the chunks of the reply on message {seq} are gone");
                findings.absent(told);
            }
            Err(error) => {
                named = true;
                findings.chunk_error(id, seq, &error)?;
                for offset in 0..reply.counts.chunks {
                    match block_on(
                        store.read_chunks(id, ChunkQuery::from(seq, offset).max_chunks(1)),
                    ) {
                        Ok(page) => found(offset, page.map_or_else(Vec::new, |page| page.chunks)),
                        Err(error) => findings.chunk_error(id, seq, &error)?,
                    }
                }
            }
        }
    }
    model::sees(&mut seen, tally);
    tally.checked(1 + seen.count());
    tally.add("chunks", seen.chunks.len() as u64);
    are_true(id, session, &seen.loaded.tail)?;
    // A stale page brings back an earlier one, which names its session.
    let own = |text: &[u8]| text.is_empty() || text.starts_with(format!("{name} ").as_bytes());
    hold!(
        seen.loaded.app == session.app || own(&seen.loaded.app),
        Wrong,
        "{name}: the app state is made up"
    );
    let title = seen.loaded.labels.get_title().unwrap_or_default();
    hold!(own(title.as_bytes()), Wrong, "{name}: the title is made up");
    for chunk in &seen.chunks {
        let Chunk { seq, offset, text } = chunk;
        let reply = session.replies.get(seq);
        let should = usize::try_from(*offset).ok().and_then(|at| reply?.chunks.get(at));
        hold!(
            should == Some(text) || own(text),
            Ghosts,
            "{name}: made up at seq {seq}, chunk {offset}: {text:?}"
        );
    }
    if named {
        // Named damage is not looked for; the rest of the reply is behind it.
        seen.chunks.clear();
        let mut silent = session.clone();
        silent.replies.clear();
        seen.loaded.replies.clear();
        findings.silent.join(model::compare(&Some(silent), Some(&seen)).within(name));
    } else {
        findings.silent.join(model::compare(&Some(session.clone()), Some(&seen)).within(name));
    }
    Ok(())
}

fn salvaged_is_true(
    store: &RedbStore,
    id: &SessionId,
    session: &Session,
    findings: &mut Findings,
    tally: &mut Tally,
) -> Result<()> {
    let name = id.as_str();
    match block_on(store.salvage(id, EVERYTHING)) {
        Err(error) => findings.error(id, &error)?,
        Ok(None) => findings.absent(format!("{name} is absent for salvage")),
        Ok(Some(mut salvaged)) => {
            tally.sees(&mut salvaged.rows, model::ghost);
            tally.checked(1 + salvaged.rows.len());
            are_true(id, session, &salvaged.rows)?;
            let named = |seq: u64| salvaged.damage.iter().any(|damage| damage.seq == Some(seq));
            let headless = salvaged.damage.iter().any(|damage| damage.seq.is_none());
            let there = |seq: u64| salvaged.rows.iter().any(|row| row.seq == seq);
            // Named rows may be missing, and any part of a session without a readable head.
            let replies = session.open_replies();
            let missing = |reply: &&OpenReply| {
                !salvaged.replies.contains(reply) && !named(reply.seq) && !headless
            };
            if let Some(reply) = replies.iter().find(missing) {
                let told = format!("{name}, salvaged: without the reply on message {}", reply.seq);
                findings.silent.join(Broken::new(Kind::Lost, 1, told));
            }
            if let Some(reply) = salvaged.replies.iter().find(|reply| !replies.contains(reply)) {
                let told = format!("{name}, salvaged: another reply on message {}", reply.seq);
                findings.silent.join(Broken::new(Kind::Ghosts, 1, told));
            }
            let mut should = session.rows.clone();
            should.retain(|&seq, _| there(seq) || !named(seq) && !headless);
            findings.silent.join(
                model::compare_rows(&should, &salvaged.rows)
                    .within(format_args!("{name}, salvaged")),
            );
        }
    }
    Ok(())
}

/// Every row was stored at its seq at some time, or at least in this session.
fn are_true(id: &SessionId, session: &Session, rows: &[Row]) -> Result<()> {
    let name = id.as_str();
    for row in rows {
        match session.rows.get(&row.seq) {
            Some(body) if *body == row.body => {}
            // A stale page brings back messages that a later commit replaced or removed; each
            // names its session all the same.
            _ if row.body.is_empty() || row.body.starts_with(format!("{name} ").as_bytes()) => {}
            other => {
                hold!(
                    false,
                    Ghosts,
                    "{name}: made up at seq {}: {:?}, not {other:?}",
                    row.seq,
                    row.body
                );
            }
        }
    }
    Ok(())
}

/// Uses the store in every other way: errors are fine, panics are not.
pub(super) fn go_on(store: &RedbStore, sample: &Sample) {
    block_on(async {
        for (n, (id, _)) in sample.sessions.iter().enumerate() {
            if let Ok(LoadOutcome::Loaded(loaded)) = store.load(id, ALL).await {
                for reply in &loaded.replies {
                    let (seq, claim, chunks) = (reply.seq, reply.claim, reply.counts.chunks);
                    let more = vec![Bytes::from_static(b"more")];
                    let _ = store.extend(id, Extension::new(seq, claim, chunks, more)).await;
                    let _ = store.extend(id, Extension::beat(seq, claim)).await;
                }
                let close = loaded.replies.first().map(|reply| Op::Close {
                    seq: reply.seq,
                    claim: reply.claim,
                    counts: ReplyCounts {
                        chunks: reply.counts.chunks + 1,
                        beats: reply.counts.beats + 1,
                    },
                    message: NewMessage::plain(Bytes::from_static(b"done")),
                });
                let append = Op::append(Bytes::from_static(b"more"));
                let ops =
                    close.into_iter().chain([append, Op::Remove { first: 1, last: 2 }]).collect();
                let _ = store.commit(id, Commit::new(loaded.head.expect(), ops, 70_000)).await;
            }
            let _ = store.touch(id, 80_000).await;
            if n % 3 == 0 {
                let _ = store.delete(id, DeleteIf::Any).await;
            }
        }
        let _ = store.compact().await;
        let _ = store.close().await;
    });
}

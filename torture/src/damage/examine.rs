//! Looking at everything of a store that may be damaged.

use super::sample::Sample;
use crate::campaign::Tally;
use crate::model::{self, ALL, Session, State};
use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, DeleteIf, Expect, ListQuery, Loaded, Op, Order, ReadQuery, Row, SessionList, SessionStore,
    StoreError, StoreErrorKind,
};
use durable_session_redb::RedbStore;
use futures_executor::block_on;

const EVERYTHING: ReadQuery = ReadQuery {
    first: 1,
    last: u64::MAX,
    order: Order::Forward,
    max_messages: usize::MAX,
    max_bytes: u64::MAX,
};

/// What was found to differ from what was stored.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Answers that name the damage.
    pub(super) named: u64,
    /// What is missing without a word. Content that was never stored is no finding but a failure at once.
    pub(super) silent: Vec<String>,
}

impl Findings {
    pub(super) fn nothing_is_wrong(&self) -> Result<()> {
        ensure!(self.silent.is_empty(), "SILENT: {:?}", self.silent);
        Ok(())
    }

    /// redb looks at no checksum when it searches: a damaged key can hide a row. Verification has to tell.
    pub(super) fn verification_names_what_is_silent(&self, store: &RedbStore) -> Result<()> {
        let told =
            block_on(store.verify(|_| {})).map_or(true, |verification| !verification.damage.is_empty());
        ensure!(self.silent.is_empty() || told, "SILENT, also for verification: {:?}", self.silent);
        Ok(())
    }

    fn error(&mut self, id: &SessionId, error: &StoreError) -> Result<()> {
        self.named += 1;
        // After a page beyond the end, the file is opened again; until then the store is not to be had.
        let waits =
            error.kind() == StoreErrorKind::Unavailable && format!("{error:?}").contains("PreviousIo");
        ensure!(error.kind() == StoreErrorKind::Corrupt || waits, "damage is answered with {error:?}");
        ensure!(error.session() == Some(id), "the damage of {id} is said to be of {:?}", error.session());
        Ok(())
    }
}

/// Loads, reads, salvages and lists everything.
pub(super) fn examine(store: &RedbStore, sample: &Sample, tally: &mut Tally) -> Result<Findings> {
    let mut findings = Findings::default();
    for (id, state) in &sample.sessions {
        let Some(session) = state else {
            ensure!(!matches!(block_on(store.load(id, ALL)), Ok(Some(_))), "{id}: GHOST session");
            continue;
        };
        tally.add("sessions", 1);
        match block_on(store.load(id, ALL)) {
            Err(error) => findings.error(id, &error)?,
            Ok(loaded) => loaded_is_true(id, state, session, loaded.as_ref(), &mut findings)?,
        }
        match block_on(store.read(id, EVERYTHING)) {
            Err(error) => findings.error(id, &error)?,
            Ok(None) => findings.silent.push(format!("{id} is absent for a read")),
            Ok(Some(page)) => {
                are_true(id, session, &page.rows)?;
                if page.rows.len() != session.rows.len() {
                    findings.silent.push(format!("{id} reads {} of its messages", page.rows.len()));
                }
            }
        }
        salvaged_is_true(store, id, session, &mut findings)?;
    }
    match block_on(store.list(&ListQuery::all(1000))) {
        Err(_) => findings.named += 1,
        Ok(page) => {
            for (id, state) in &sample.sessions {
                if state.is_some() && !page.sessions.iter().any(|listed| listed.id == *id) {
                    findings.silent.push(format!("{id} is not listed"));
                }
            }
        }
    }
    Ok(findings)
}

fn loaded_is_true(
    id: &SessionId,
    state: &State,
    session: &Session,
    loaded: Option<&Loaded>,
    findings: &mut Findings,
) -> Result<()> {
    let Some(loaded) = loaded else {
        findings.silent.push(format!("{id} is absent"));
        return Ok(());
    };
    are_true(id, session, &loaded.tail)?;
    // A stale page brings back an earlier one, which names its session.
    let own = loaded.app.is_empty() || loaded.app.starts_with(format!("{id} ").as_bytes());
    ensure!(loaded.app == session.app || own, "{id}: MADE UP app state");
    if let Err(difference) = model::check(state, Some(loaded)) {
        findings.silent.push(format!("{id}: {difference}"));
    }
    Ok(())
}

fn salvaged_is_true(
    store: &RedbStore,
    id: &SessionId,
    session: &Session,
    findings: &mut Findings,
) -> Result<()> {
    match block_on(store.salvage(id, EVERYTHING)) {
        Err(error) => findings.error(id, &error)?,
        Ok(None) => findings.silent.push(format!("{id} is absent for salvage")),
        Ok(Some(salvaged)) => {
            are_true(id, session, &salvaged.rows)?;
            let named = |seq: u64| salvaged.damage.iter().any(|damage| damage.seq == Some(seq));
            let headless = salvaged.damage.iter().any(|damage| damage.seq.is_none());
            let gone = session
                .rows
                .keys()
                .filter(|&&seq| !named(seq) && !headless && !salvaged.rows.iter().any(|row| row.seq == seq));
            let gone: Vec<_> = gone.collect();
            if !gone.is_empty() {
                findings.silent.push(format!("{id}: salvage passes over {gone:?}"));
            }
        }
    }
    Ok(())
}

/// Every row is what was stored at its seq at some time; at any rate in this session.
fn are_true(id: &SessionId, session: &Session, rows: &[Row]) -> Result<()> {
    for row in rows {
        match session.rows.get(&row.seq) {
            Some(body) if *body == row.body => {}
            // A stale page brings back what a later commit replaced or removed; it names its session all the same.
            _ if row.body.starts_with(format!("{id} ").as_bytes()) => {}
            other => bail!("{id}: MADE UP at seq {}: {:?}, not {other:?}", row.seq, row.body),
        }
    }
    Ok(())
}

/// Uses the store in every other way: errors are fine, panics are not.
pub(super) fn go_on(store: &RedbStore, sample: &Sample) {
    block_on(async {
        for (n, (id, _)) in sample.sessions.iter().enumerate() {
            if let Ok(Some(loaded)) = store.load(id, ALL).await {
                let ops = vec![Op::Append(Bytes::from_static(b"more")), Op::Remove { first: 1, last: 2 }];
                let commit = Commit { expect: Expect::Version(loaded.head.version), ops, at: 70_000 };
                let _ = store.commit(id, commit).await;
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

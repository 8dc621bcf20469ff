//! Looking at everything of a store that may be damaged.

use super::sample::Sample;
use crate::campaign::Tally;
use crate::model::{self, ALL, Session, State};
use crate::verdict::{Broken, Kind, hold};
use anyhow::{Context, Result, ensure};
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
    /// What differs without a word. Content that was never stored is no finding but a failure at
    /// once.
    pub(super) silent: Broken,
}

impl Findings {
    /// redb looks at no checksum when it searches: a damaged key can hide a row. Verification has to tell.
    pub(super) fn verification_names_what_is_silent(&self, store: &RedbStore) -> Result<()> {
        let told =
            block_on(store.verify(|_| {})).map_or(true, |verification| !verification.damage.is_empty());
        if !told {
            self.silent.clone().into_result().context("verification says nothing, either")?;
        }
        Ok(())
    }

    fn error(&mut self, id: &SessionId, error: &StoreError) -> Result<()> {
        self.named += 1;
        // After a page beyond the end, the file is opened again; until then the store is not to be had.
        let waits =
            error.kind() == StoreErrorKind::Unavailable && format!("{error:?}").contains("PreviousIo");
        ensure!(error.kind() == StoreErrorKind::Corrupt || waits, "damage is answered with {error:?}");
        ensure!(error.session() == Some(id), "the damage of {id:?} is said to be of {:?}", error.session());
        Ok(())
    }
}

/// Loads, reads, salvages and lists everything.
pub(super) fn examine(store: &RedbStore, sample: &Sample, tally: &mut Tally) -> Result<Findings> {
    let mut findings = Findings::default();
    for (id, state) in &sample.sessions {
        let name = id.as_str();
        let Some(session) = state else {
            tally.checked(1);
            hold!(!matches!(block_on(store.load(id, ALL)), Ok(Some(_))), Ghosts, "{name} is there");
            continue;
        };
        tally.add("sessions", 1);
        match block_on(store.load(id, ALL)) {
            Err(error) => findings.error(id, &error)?,
            Ok(mut loaded) => {
                if let Some(loaded) = &mut loaded {
                    model::sees(loaded, tally);
                }
                tally.checked(1 + loaded.as_ref().map_or(0, |loaded| loaded.tail.len()));
                loaded_is_true(id, state, session, loaded.as_ref(), &mut findings)?;
            }
        }
        match block_on(store.read(id, EVERYTHING)) {
            Err(error) => findings.error(id, &error)?,
            Ok(None) => {
                findings.silent.join(Broken::new(Kind::Lost, 1, format!("{name} is absent for a read")));
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
    match block_on(store.list(&ListQuery::all(1000))) {
        Err(_) => findings.named += 1,
        Ok(page) => {
            for (id, state) in &sample.sessions {
                tally.checked(1);
                if state.is_some() && !page.sessions.iter().any(|listed| listed.id == *id) {
                    findings.silent.join(Broken::new(
                        Kind::Lost,
                        1,
                        format!("{} is not listed", id.as_str()),
                    ));
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
    let name = id.as_str();
    let Some(loaded) = loaded else {
        findings.silent.join(Broken::new(Kind::Lost, 1, format!("{name} is absent")));
        return Ok(());
    };
    are_true(id, session, &loaded.tail)?;
    // A stale page brings back an earlier one, which names its session.
    let own = loaded.app.is_empty() || loaded.app.starts_with(format!("{name} ").as_bytes());
    hold!(loaded.app == session.app || own, Wrong, "{name}: the app state is made up");
    findings.silent.join(model::compare(state, Some(loaded)).within(name));
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
        Ok(None) => findings.silent.join(Broken::new(Kind::Lost, 1, format!("{name} is absent for salvage"))),
        Ok(Some(mut salvaged)) => {
            tally.sees(&mut salvaged.rows, model::ghost);
            tally.checked(1 + salvaged.rows.len());
            are_true(id, session, &salvaged.rows)?;
            let named = |seq: u64| salvaged.damage.iter().any(|damage| damage.seq == Some(seq));
            let headless = salvaged.damage.iter().any(|damage| damage.seq.is_none());
            let there = |seq: u64| salvaged.rows.iter().any(|row| row.seq == seq);
            // What is named may be missing, and any part of a session without a readable head.
            let mut should = session.rows.clone();
            should.retain(|&seq, _| there(seq) || !named(seq) && !headless);
            findings
                .silent
                .join(model::compare_rows(&should, &salvaged.rows).within(format_args!("{name}, salvaged")));
        }
    }
    Ok(())
}

/// Every row is what was stored at its seq at some time; at any rate in this session.
fn are_true(id: &SessionId, session: &Session, rows: &[Row]) -> Result<()> {
    let name = id.as_str();
    for row in rows {
        match session.rows.get(&row.seq) {
            Some(body) if *body == row.body => {}
            // A stale page brings back what a later commit replaced or removed; it names its session all the same.
            _ if row.body.starts_with(format!("{name} ").as_bytes()) => {}
            other => {
                hold!(false, Ghosts, "{name}: made up at seq {}: {:?}, not {other:?}", row.seq, row.body);
            }
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

//! One transaction for many requests.

use super::{Change, Done, Request};
use crate::error::{Fault, Scope, caught, is_contradiction};
use crate::layout::{Draft, Known};
use durable_session::env::Random;
use durable_session::planted::bug;
use durable_session::store::{CommitOutcome, DeleteOutcome, Incarnation, StoreError, StoreErrorKind};
use redb::{Database, WriteTransaction};
use std::cell::Cell;

/// How a transaction over some requests went.
pub(super) enum Applied {
    /// It is durable, or there was nothing to write: these are the answers.
    Done { answers: Vec<Result<Done, StoreError>>, written: bool },
    /// Nothing was written, because of this request alone: leave it out and try again.
    Without { index: usize, error: StoreError },
    /// Nothing was written, and nothing must be: the file is damaged, as this request found.
    Condemned { index: usize, error: StoreError },
    /// Nothing was written and nothing can be for now.
    Failed { error: StoreError },
    /// It broke off in the commit itself.
    Broken { fault: Fault },
}

/// Applies all requests in one transaction and commits it.
pub(super) fn apply(
    db: &Database,
    requests: &[Request],
    random: &dyn Random,
    known: &mut Known,
    begin: impl FnOnce(),
    quick_repair: bool,
) -> Applied {
    let started = caught(|| -> Result<WriteTransaction, Fault> {
        let mut txn = db.begin_write()?;
        txn.set_quick_repair(quick_repair && !bug("acknowledge-before-durable"));
        if bug("acknowledge-before-durable") {
            txn.set_durability(redb::Durability::None).map_err(redb::Error::from)?;
        }
        Ok(txn)
    });
    let txn = match started.unwrap_or_else(|message| Err(Fault::Panic(message))) {
        Ok(txn) => txn,
        Err(fault) => return Applied::Failed { error: fault.unchanged("beginning a transaction") },
    };
    begin();
    let current = Cell::new(0);
    let applied = caught(|| apply_each(&txn, requests, random, known, &current))
        .unwrap_or_else(|message| Err(Fault::Panic(message)));
    match applied {
        Ok((answers, true)) => match caught(|| txn.commit().map_err(Fault::from)) {
            Ok(Ok(())) => Applied::Done { answers, written: true },
            Ok(Err(fault)) => Applied::Broken { fault },
            Err(message) => Applied::Broken { fault: Fault::Panic(message) },
        },
        Ok((answers, false)) => match abort(txn) {
            Ok(()) => Applied::Done { answers, written: false },
            Err(fault) => Applied::Failed { error: fault.unchanged("ending a transaction") },
        },
        Err(fault) => {
            let scope = fault.scope();
            let error = fault.unchanged("writing");
            match (scope, abort(txn)) {
                (Scope::Request, Ok(())) => Applied::Without { index: current.get(), error },
                (Scope::File, Ok(())) => Applied::Condemned { index: current.get(), error },
                (Scope::Store, _) | (_, Err(_)) => Applied::Failed { error },
            }
        }
    }
}

fn abort(txn: WriteTransaction) -> Result<(), Fault> {
    caught(|| txn.abort().map_err(Fault::from)).unwrap_or_else(|message| Err(Fault::Panic(message)))
}

type Answers = Vec<Result<Done, StoreError>>;

/// The answers, and whether anything was written.
fn apply_each(
    txn: &WriteTransaction,
    requests: &[Request],
    random: &dyn Random,
    known: &mut Known,
    current: &Cell<usize>,
) -> Result<(Answers, bool), Fault> {
    let mut draft = Draft::open(txn, known)?;
    let mut written = false;
    let mut answers = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        current.set(index);
        match apply_one(&mut draft, request, random) {
            Ok((done, wrote)) => {
                written |= wrote;
                answers.push(Ok(done));
            }
            Err(Fault::Refused(error)) if !is_contradiction(&error) => answers.push(Err(error)),
            Err(fault) => return Err(fault),
        }
    }
    Ok((answers, written))
}

fn apply_one(draft: &mut Draft<'_>, request: &Request, random: &dyn Random) -> Result<(Done, bool), Fault> {
    let id = &request.id;
    Ok(match &request.change {
        Change::Commit(commit) => {
            let outcome = draft.commit(id, commit, || incarnation(random))?;
            (Done::Committed(outcome), matches!(outcome, CommitOutcome::Committed(_)))
        }
        Change::Touch(at) => (Done::Touched, draft.touch(id, *at)?),
        Change::Delete(condition) => {
            let outcome = draft.delete(id, *condition)?;
            (Done::Deleted(outcome), outcome == DeleteOutcome::Deleted)
        }
    })
}

fn incarnation(random: &dyn Random) -> Result<Incarnation, Fault> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(|e| {
        StoreError::new(StoreErrorKind::Unavailable, "creating the session needs random bytes").with_source(e)
    })?;
    Ok(Incarnation::from_bytes(bytes))
}

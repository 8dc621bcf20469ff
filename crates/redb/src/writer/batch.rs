//! One transaction for many requests.

use super::{Change, Done, Request};
use crate::error::{Fault, Scope, caught, is_contradiction};
use crate::layout::{Draft, Effects, Known, LogDraft, Logged, Position, Slice};
use durable_session::env::Random;
use durable_session::planted::bug;
use durable_session::store::{CommitOutcome, DeleteOutcome, Incarnation, StoreError, StoreErrorKind};
use redb::{Database, WriteTransaction};
use std::cell::Cell;

/// How a transaction over some requests went.
pub(super) enum Applied {
    /// It is durable, or there was nothing to write: these are the answers, and what became of the logs.
    Done { answers: Vec<Result<Done, StoreError>>, written: Option<Written> },
    /// Nothing was written, because of this request alone: leave it out and try again.
    Without { index: usize, error: StoreError },
    /// Nothing was written, and nothing must be: the file is damaged, as this request found, or what was to be folded.
    Condemned { index: Option<usize>, error: StoreError },
    /// Nothing was written and nothing can be for now.
    Failed { error: StoreError },
    /// It broke off in the commit itself.
    Broken { fault: Fault },
}

/// What a durable transaction leaves to be done in memory.
pub(super) struct Written {
    pub(super) effects: Effects,
    pub(super) position: Position,
}

/// What a transaction works with besides the requests.
pub(super) struct Context<'a> {
    pub(super) random: &'a dyn Random,
    pub(super) known: &'a mut Known,
    pub(super) logged: &'a Logged,
    pub(super) position: Position,
    pub(super) slice: Slice,
    pub(super) quick_repair: bool,
}

/// Applies all requests in one transaction and commits it.
pub(super) fn apply(
    db: &Database,
    requests: &[Request],
    context: Context<'_>,
    begin: impl FnOnce(),
) -> Applied {
    let quick_repair = context.quick_repair;
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
    let applied = caught(|| apply_each(&txn, requests, context, &current))
        .unwrap_or_else(|message| Err(Fault::Panic(message)));
    match applied {
        Ok((answers, Some(written))) => match caught(|| txn.commit().map_err(Fault::from)) {
            Ok(Ok(())) => Applied::Done { answers, written: Some(written) },
            Ok(Err(fault)) => Applied::Broken { fault },
            Err(message) => Applied::Broken { fault: Fault::Panic(message) },
        },
        Ok((answers, None)) => match abort(txn) {
            Ok(()) => Applied::Done { answers, written: None },
            Err(fault) => Applied::Failed { error: fault.unchanged("ending a transaction") },
        },
        Err(fault) => {
            let scope = fault.scope();
            let error = fault.unchanged("writing");
            match (scope, abort(txn)) {
                (Scope::Request, Ok(())) if current.get() == requests.len() => Applied::Failed { error },
                (Scope::Request, Ok(())) => Applied::Without { index: current.get(), error },
                (Scope::File, Ok(())) => {
                    let index = Some(current.get()).filter(|&index| index < requests.len());
                    Applied::Condemned { index, error }
                }
                (Scope::Store, _) | (_, Err(_)) => Applied::Failed { error },
            }
        }
    }
}

fn abort(txn: WriteTransaction) -> Result<(), Fault> {
    caught(|| txn.abort().map_err(Fault::from)).unwrap_or_else(|message| Err(Fault::Panic(message)))
}

type Answers = Vec<Result<Done, StoreError>>;

/// The answers, and what was written if anything was.
fn apply_each(
    txn: &WriteTransaction,
    requests: &[Request],
    context: Context<'_>,
    current: &Cell<usize>,
) -> Result<(Answers, Option<Written>), Fault> {
    let Context { random, known, logged, mut position, slice, .. } = context;
    let mut draft = Draft::open(txn, known, LogDraft::new(logged, &position));
    // With no requests, there is something to fold.
    let mut written = requests.is_empty();
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
    if !written {
        return Ok((answers, None));
    }
    current.set(requests.len());
    let effects = draft.finish(&mut position, slice)?;
    Ok((answers, Some(Written { effects, position })))
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

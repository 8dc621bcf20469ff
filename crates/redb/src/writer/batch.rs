//! One batch of the log for many requests.

use super::request::{Request, Write, WriteOutcome};
use crate::error::{Fault, Scope, caught, is_contradiction};
use crate::layout::Draft;
use crate::memtable::Staged;
use durable_session::env::Random;
use durable_session::store::{Incarnation, StoreError, StoreErrorKind, StoreLimits};

/// The outcomes of the requests, in their order.
pub(super) type Outcomes = Vec<Result<WriteOutcome, StoreError>>;

/// How the requests were worked out.
pub(super) enum Drafted {
    /// The outcomes hold once the edits are durable, or at once if there are none.
    Done { outcomes: Outcomes, staged: Staged },
    /// Nothing may be written: the file is damaged. The request at `index` found the damage.
    Poisoned { index: usize, error: StoreError },
    /// The storage failed, and all requests get `error`.
    Failed { error: StoreError },
}

/// Works out all requests, one after the other. Each sees the edits of those before it.
pub(super) fn draft(
    mut draft: Draft<'_>,
    requests: &[Request],
    random: &dyn Random,
    limits: &StoreLimits,
) -> Drafted {
    let mut outcomes = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let outcome = caught(|| draft_one(&mut draft, request, random, limits));
        match outcome.unwrap_or_else(|message| Err(Fault::Panic(message))) {
            Ok(outcome) => outcomes.push(Ok(outcome)),
            Err(Fault::Refused(error)) if !is_contradiction(&error) => outcomes.push(Err(error)),
            Err(fault) => {
                let scope = fault.scope();
                let error = fault.unchanged("writing");
                match scope {
                    Scope::Request => outcomes.push(Err(error)),
                    Scope::File => return Drafted::Poisoned { index, error },
                    Scope::Store => return Drafted::Failed { error },
                }
            }
        }
    }
    Drafted::Done { outcomes, staged: draft.finish() }
}

fn draft_one(
    draft: &mut Draft<'_>,
    request: &Request,
    random: &dyn Random,
    limits: &StoreLimits,
) -> Result<WriteOutcome, Fault> {
    let id = &request.id;
    Ok(match &request.write {
        Write::Commit(commit) => {
            WriteOutcome::Committed(draft.commit(id, commit, || incarnation(random))?)
        }
        Write::Extend(extension) => WriteOutcome::Extended(draft.extend(id, extension, limits)?.0),
        Write::Touch(at) => {
            draft.touch(id, *at)?;
            WriteOutcome::Touched
        }
        Write::Delete(condition) => WriteOutcome::Deleted(draft.delete(id, *condition)?),
    })
}

fn incarnation(random: &dyn Random) -> Result<Incarnation, Fault> {
    Ok(Incarnation::draw(random).map_err(|e| {
        StoreError::new(
            StoreErrorKind::Unavailable,
            "no random bytes for the new session's incarnation",
        )
        .with_source(e)
    })?)
}

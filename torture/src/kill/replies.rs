//! The script of sessions with replies, step by step, on the store itself: the same in parent and
//! child.

use crate::campaign::Tally;
use crate::model::{self, Answer, Change, Seen, State};
use crate::verdict::{Broken, Kind};
use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Claim, Commit, CommitOutcome, DeleteIf, Expect, ExtendOutcome, Extension, Incarnation,
    NewMessage, Op, ReplyOpening, SessionStore,
};

/// After so many steps the session is deleted, and all begins again.
const LIFE: u64 = 64;
/// So many steps for each reply: it is opened, extended, and closed.
const REPLY: u64 = 8;

/// Stands for the incarnation that the store drew.
const SOME: Incarnation = Incarnation::from_bytes([1; 16]);

pub(super) fn id(session: usize) -> Result<SessionId> {
    Ok(SessionId::new(format!("killed-reply-{session}"))?)
}

fn step(session: usize, number: u64, state: &State) -> Change {
    let text = |part: &str| {
        Bytes::from(format!("{session}.{number}.{part} {}", "y".repeat(session * 23 % 200)))
    };
    let reply = state.as_ref().and_then(|session| session.replies.last_key_value());
    let expect =
        match state.as_ref().and_then(|session| Some((session.version()?, session.next_seq))) {
            Some((version, next_seq)) => Expect::Version { version, next_seq },
            None => Expect::absent(number),
        };
    let commit = |op| Change::Commit(Commit::new(expect, vec![op], number));
    if number % LIFE == LIFE - 1 {
        return Change::Delete(DeleteIf::Any);
    }
    let Some((&seq, reply)) = reply else {
        let mut claim = [0; 32];
        claim[..8].copy_from_slice(&number.to_le_bytes());
        claim[8..16].copy_from_slice(&(session as u64).to_le_bytes());
        let opening = ReplyOpening::new(Claim::from_bytes(claim), "text");
        return commit(Op::Append(NewMessage::plain(text("opening")).opening(opening)));
    };
    match number % REPLY {
        7 if number / REPLY % 4 == 1 => commit(Op::replace(seq, text("replaced"))),
        7 => {
            let (claim, counts) = (reply.claim, reply.counts());
            commit(Op::Close { seq, claim, counts, message: NewMessage::plain(text("closed")) })
        }
        3 => Change::Extend(Extension::beat(seq, reply.claim)),
        n => {
            let chunks: Vec<_> = (0..=n % 3).map(|part| text(&part.to_string())).collect();
            Change::Extend(Extension::new(seq, reply.claim, reply.counts().chunks, chunks))
        }
    }
}

/// Makes the step.
pub(super) async fn play(store: &dyn SessionStore, session: usize, number: u64) -> Result<()> {
    let id = id(session)?;
    let mut change = step(session, number, &after(session, number));
    if let Change::Commit(Commit { expect: expect @ Expect::Version { .. }, .. }) = &mut change {
        let loaded = store.load(&id, model::ALL).await?.loaded().context("the session is gone")?;
        *expect = loaded.head.expect();
    }
    let answer = change.make(store, &id).await?;
    let made = matches!(
        answer,
        Answer::Committed(CommitOutcome::Committed(_))
            | Answer::Extended(ExtendOutcome::Extended(_))
            | Answer::Deleted(_)
    );
    ensure!(made, "it was answered with {answer:?}");
    Ok(())
}

/// The session after so many steps.
fn after(session: usize, steps: u64) -> State {
    let mut state = None;
    for number in steps / LIFE * LIFE..steps {
        state = step(session, number, &state).after(&state);
        if let Some(session) = &mut state {
            session.incarnation = Some(SOME);
        }
    }
    state
}

/// How the stored session differs from the expected one after so many steps.
fn differs(session: usize, steps: u64, seen: Option<&Seen>) -> Broken {
    let mut state = after(session, steps);
    if let (Some(session), Some(seen)) = (&mut state, seen) {
        session.incarnation = Some(seen.loaded.head.version.incarnation());
    }
    model::compare(&state, seen)
}

/// After how many steps the session is as it is stored: not before the last acknowledged step, not
/// after the last step that was begun.
pub(super) fn find(
    store: &dyn SessionStore,
    session: usize,
    acknowledged: u64,
    begun: u64,
    tally: &mut Tally,
) -> Result<u64> {
    // While a step is under way, an alteration can turn one possible state into another.
    let seen = if begun == acknowledged {
        model::altered(store, &id(session)?, tally)?
    } else {
        model::look(store, &id(session)?)?
    };
    let seen = seen.as_ref();
    tally.checked(1 + seen.map_or(0, Seen::count));
    tally.add("chunks", seen.map_or(0, |seen| seen.chunks.len()) as u64);
    let is = |step: &u64| differs(session, *step, seen).is_nothing();
    if let Some(step) = (acknowledged..=begun.max(acknowledged)).rev().find(is) {
        return Ok(step);
    }
    // The step that was under way may be stored: the nearest of the states that may be.
    let broken = (acknowledged..=begun.max(acknowledged))
        .map(|step| differs(session, step, seen))
        .min_by_key(Broken::findings)
        .unwrap_or_default();
    let broken = match (acknowledged / LIFE * LIFE..acknowledged).rev().find(is) {
        Some(step) => {
            broken.at_least_one(Kind::Lost).within(format_args!("is as after {step} steps"))
        }
        None => broken,
    };
    let place =
        format!("session {session} with replies, {acknowledged} steps acknowledged, {begun} begun");
    Err(broken.within(place).into())
}

//! The effects of a commit, an extension and a delete on a session.

use super::{Reply, Session, State};
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, ExtendOutcome, Extension, NewMessage,
    Op,
};

/// The session after `commit`, or how it is refused.
// Made once for each step of a campaign.
#[allow(clippy::result_large_err)]
pub(super) fn commit(before: &State, commit: &Commit) -> Result<Session, CommitOutcome> {
    let current = before.as_ref().and_then(Session::version);
    let mut session = match (before, commit.expect) {
        (Some(session), Expect::Version { version, next_seq })
            if current == Some(version) && session.next_seq == next_seq =>
        {
            session.clone()
        }
        (None, Expect::Absent { created_at, .. }) => Session::new(created_at),
        _ => return Err(CommitOutcome::Conflict { current }),
    };
    session.counter += 1;
    session.last_accessed_at = session.last_accessed_at.max(commit.at);
    let created = session.counter == 1;
    let (mut base, mut closed, mut content) = (created || commit.ops.is_empty(), created, false);
    for op in &commit.ops {
        content |= !matches!(op, Op::SetLabels(_));
        match op {
            Op::Append(message) => {
                session.write(session.next_seq, message);
                session.next_seq += 1;
            }
            Op::Replace { seq, message } => {
                if !session.rows.contains_key(seq) {
                    return Err(CommitOutcome::NoSuchSeq { seq: *seq });
                }
                session.write(*seq, message);
                base = true;
            }
            Op::Remove { first, last } => {
                let stays = |seq: &u64| !(first..=last).contains(&seq);
                session.rows.retain(|seq, _| stays(seq));
                session.tags.retain(|seq, _| stays(seq));
                session.replies.retain(|seq, _| stays(seq));
                base = true;
            }
            Op::SetApp(app) => {
                session.app = app.clone();
                base = true;
            }
            Op::SetLabels(labels) => session.labels = labels.clone(),
            Op::Close { seq, claim, counts, message } => {
                let reply = session.replies.get(seq).filter(|reply| reply.claim == *claim);
                let has = reply.ok_or(CommitOutcome::ReplyEnded { seq: *seq })?.counts();
                if has != *counts {
                    return Err(CommitOutcome::Grew { seq: *seq, counts: has });
                }
                session.write(*seq, message);
                closed = true;
                base |= message.opens.is_some();
            }
        }
    }
    if base {
        session.base = session.counter;
    }
    if closed {
        session.closed = session.counter;
    }
    if content {
        session.changed_at = session.changed_at.max(commit.at);
    }
    Ok(session)
}

/// The state after an extension, and its answer.
pub(super) fn extension(before: &State, extension: &Extension) -> (State, ExtendOutcome) {
    let mut state = before.clone();
    let reply = state.as_mut().and_then(|session| session.replies.get_mut(&extension.seq));
    let Some(reply) = reply.filter(|reply| reply.claim == extension.claim) else {
        return (state, ExtendOutcome::Ended);
    };
    if extension.chunks.is_empty() {
        reply.beats += 1;
    } else if extension.offset > reply.chunks.len() as u64 {
        let counts = reply.counts();
        return (state, ExtendOutcome::Gap(counts));
    } else {
        for (offset, chunk) in (extension.offset..).zip(&extension.chunks) {
            if offset == reply.chunks.len() as u64 {
                reply.chunks.push(chunk.clone());
            }
        }
    }
    let counts = reply.counts();
    (state, ExtendOutcome::Extended(counts))
}

/// The state after a delete, and its answer; `None` if that has a version which nobody knows yet.
pub(super) fn delete(before: &State, condition: DeleteIf) -> (State, Option<DeleteOutcome>) {
    let Some(session) = before else { return (None, Some(DeleteOutcome::Absent)) };
    let holds = match condition {
        DeleteIf::Any => true,
        DeleteIf::Version(version) => session.version() == Some(version),
        DeleteIf::IdleSince(time) => session.last_accessed_at <= time,
    };
    if holds {
        return (None, Some(DeleteOutcome::Deleted));
    }
    (before.clone(), session.version().map(|current| DeleteOutcome::Conflict { current }))
}

impl Session {
    /// A message is written: a reply that was open there has ended.
    fn write(&mut self, seq: u64, message: &NewMessage) {
        self.rows.insert(seq, message.body.clone());
        self.tags.insert(seq, message.tag);
        self.replies.remove(&seq);
        if let Some(opens) = &message.opens {
            let (claim, format) = (opens.claim, opens.format.clone());
            self.replies.insert(seq, Reply { claim, format, chunks: Vec::new(), beats: 0 });
        }
    }
}

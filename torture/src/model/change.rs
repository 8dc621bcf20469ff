//! A change of a session: made in a store, and worked out here.

use super::{Session, State, after};
use anyhow::{Result, bail, ensure};
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, Expect, ExtendOutcome, Extension, SessionStore,
    StoreError,
};

/// One call on a store that may change a session.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Commit(Commit),
    Extend(Extension),
    Touch(u64),
    Delete(DeleteIf),
}

/// The answer of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Committed(CommitOutcome),
    Extended(ExtendOutcome),
    Touched,
    Deleted(DeleteOutcome),
}

impl Change {
    /// Makes the change in `store`.
    pub(crate) async fn make(
        self,
        store: &dyn SessionStore,
        id: &SessionId,
    ) -> Result<Answer, StoreError> {
        Ok(match self {
            Self::Commit(commit) => Answer::Committed(store.commit(id, commit).await?),
            Self::Extend(extension) => Answer::Extended(store.extend(id, extension).await?),
            Self::Touch(at) => {
                store.touch(id, at).await?;
                Answer::Touched
            }
            Self::Delete(condition) => Answer::Deleted(store.delete(id, condition).await?),
        })
    }

    /// The state after the change. A session that it creates has an incarnation that nobody knows
    /// yet.
    pub(crate) fn after(&self, before: &State) -> State {
        match self {
            Self::Commit(commit) => match after::commit(before, commit) {
                Ok(session) => Some(session),
                Err(_) => before.clone(),
            },
            Self::Extend(extension) => after::extension(before, extension).0,
            Self::Touch(at) => before.clone().map(|session| Session {
                last_accessed_at: session.last_accessed_at.max(*at),
                ..session
            }),
            Self::Delete(condition) => after::delete(before, *condition).0,
        }
    }

    /// The state after the change, which must have been answered as it should be.
    pub(crate) fn answered(&self, before: &State, answer: Answer) -> Result<State> {
        match (self, answer) {
            (Self::Commit(commit), Answer::Committed(is)) => {
                match (after::commit(before, commit), is) {
                    (Ok(mut session), CommitOutcome::Committed(head)) => {
                        session.check_head(&head)?;
                        let incarnation = head.version.incarnation();
                        if let Expect::Absent { incarnation: Some(given), .. } = commit.expect {
                            // The other half of it is mixed with the store's salt.
                            ensure!(
                                incarnation.life() == given.life(),
                                "the session has not the life it was given"
                            );
                        }
                        session.incarnation = Some(incarnation);
                        return Ok(Some(session));
                    }
                    (Ok(_), is) => bail!("the commit is answered with {is:?}"),
                    (Err(should), is) => {
                        ensure!(
                            is == should,
                            "the commit is answered with {is:?}, not with {should:?}"
                        );
                    }
                }
            }
            (Self::Extend(extension), Answer::Extended(is)) => {
                let (_, should) = after::extension(before, extension);
                ensure!(is == should, "the extension is answered with {is:?}, not with {should:?}");
            }
            (Self::Delete(condition), Answer::Deleted(is)) => {
                let (_, should) = after::delete(before, *condition);
                let fits = should.is_none_or(|should| is == should);
                ensure!(fits, "the delete is answered with {is:?}, not with {should:?}");
            }
            (Self::Touch(_), Answer::Touched) => {}
            (change, answer) => bail!("{change:?} is answered with {answer:?}"),
        }
        Ok(self.after(before))
    }

    /// The kind of the change, under which it is counted.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Commit(_) => "commits",
            Self::Extend(extension) if extension.chunks.is_empty() => "beats",
            Self::Extend(_) => "extensions",
            Self::Touch(_) => "touches",
            Self::Delete(_) => "deletes",
        }
    }
}

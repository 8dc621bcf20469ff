//! Everything that writes: one queue, one thread, one transaction at a time.

mod answer;
mod batch;
mod deadline;
mod lookout;
mod queue;
mod thread;

use answer::{Answer, answer};
pub(crate) use deadline::Deadlines;
pub(crate) use lookout::Lookout;
pub(crate) use queue::{Bounds, Control, Queue};
pub(crate) use thread::{Writer, start};

use durable_session::SessionId;
use durable_session::store::{Commit, CommitOutcome, DeleteIf, DeleteOutcome, StoreError, StoreErrorKind};

/// A change to one session, waiting to be written.
pub(crate) struct Request {
    pub(crate) id: SessionId,
    pub(crate) change: Change,
    pub(crate) answer: Answer<Result<Done, StoreError>>,
}

/// What is to be done.
pub(crate) enum Change {
    Commit(Commit),
    Touch(u64),
    Delete(DeleteIf),
}

/// What was done.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Done {
    Committed(CommitOutcome),
    Touched,
    Deleted(DeleteOutcome),
}

impl Change {
    /// The bytes that it brings, for the bounds of queue and batch.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Commit(commit) => commit.bytes(),
            Self::Touch(_) | Self::Delete(_) => 0,
        }
    }
}

/// Queues a change, waiting for room if need be, and waits for it to be done.
///
/// The change is accepted once it is in the queue; dropping the future before that changes nothing, and after that
/// stops nothing.
pub(crate) async fn submit(
    queue: &Queue,
    deadlines: &Deadlines,
    id: &SessionId,
    change: Change,
) -> Result<Done, StoreError> {
    let permit = queue.room(change.bytes(), deadlines).await.map_err(|e| e.in_session(id))?;
    let (answer, answered) = answer(&queue.due);
    queue.push(Request { id: id.clone(), change, answer }, permit).map_err(|e| e.in_session(id))?;
    match answered.await {
        Some(result) => result.map_err(|e| if e.session().is_none() { e.in_session(id) } else { e }),
        // Before it ends in order, the writer answers all that was accepted.
        None => Err(StoreError::new(
            StoreErrorKind::OutcomeUnknown,
            "the writer thread ended unexpectedly; open the store again",
        )
        .in_session(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::queue::Work;
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn when_the_writer_breaks_down_nobody_waits_for_ever_and_nobody_is_told_that_nothing_changed() {
        let queue = Arc::new(Queue::new(Bounds {
            queue_requests: 8,
            queue_bytes: 1 << 10,
            batch_requests: 1,
            batch_bytes: 1 << 10,
            deadline: Duration::from_mins(1),
        }));
        let deadlines = Deadlines::start().unwrap();
        let id = SessionId::new("s").unwrap();
        let mut taken = pin!(submit(&queue, &deadlines, &id, Change::Touch(1)));
        let mut queued = pin!(submit(&queue, &deadlines, &id, Change::Touch(2)));
        assert!(taken.as_mut().now_or_never().is_none());
        assert!(queued.as_mut().now_or_never().is_none());

        let Work::Batch(batch) = queue.next(&mut Lookout::new(), None) else { panic!("no batch") };
        assert_eq!((batch.len(), queue.depth()), (1, 1));
        drop(batch);
        drop(thread::Ends(Arc::clone(&queue)));

        for waiting in [taken, queued] {
            let error = waiting.now_or_never().expect("still waiting").unwrap_err();
            assert_eq!((error.kind(), error.session()), (StoreErrorKind::OutcomeUnknown, Some(&id)));
        }
        let error = submit(&queue, &deadlines, &id, Change::Touch(3)).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Closed);
    }
}

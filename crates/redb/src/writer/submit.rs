//! The caller's side: queueing a write and waiting for its outcome.

use super::deadline::Deadlines;
use super::queue::Queue;
use super::request::{Request, Write, WriteOutcome};
use super::response::response;
use durable_session::SessionId;
use durable_session::store::{StoreError, StoreErrorKind};

/// Queues a write, waits for room if the queue is full, and waits for the outcome.
///
/// The write is accepted once it is in the queue. Dropping the future before that changes nothing;
/// dropping it after that stops nothing.
pub(crate) async fn submit(
    queue: &Queue,
    deadlines: &Deadlines,
    id: &SessionId,
    write: Write,
) -> Result<WriteOutcome, StoreError> {
    let permit = queue.room(write.bytes(), deadlines).await.map_err(|e| e.in_session(id))?;
    let (responder, response) = response(&queue.wakeups);
    queue
        .push(Request { id: id.clone(), write, responder }, permit)
        .map_err(|e| e.in_session(id))?;
    match response.await {
        Some(result) => {
            result.map_err(|e| if e.session().is_none() { e.in_session(id) } else { e })
        }
        // A writer that ends in order first responds to every accepted request.
        None => Err(StoreError::new(
            StoreErrorKind::OutcomeUnknown,
            "the writer thread ended unexpectedly; open the store again",
        )
        .in_session(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::{Deadlines, Queue, Write, submit};
    use crate::spin_wait::SpinWait;
    use crate::writer::queue::{Bounds, WriterStep};
    use crate::writer::thread;
    use durable_session::SessionId;
    use durable_session::store::StoreErrorKind;
    use futures_util::FutureExt;
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn a_broken_writer_leaves_no_caller_waiting_and_claims_no_unchanged_session() {
        let queue = Arc::new(Queue::new(Bounds {
            queue_requests: 8,
            queue_bytes: 1 << 10,
            batch_requests: 1,
            batch_bytes: 1 << 10,
            deadline: Duration::from_mins(1),
            gather: Duration::ZERO,
        }));
        let deadlines = Deadlines::start().unwrap();
        let id = SessionId::new("s").unwrap();
        let mut taken = pin!(submit(&queue, &deadlines, &id, Write::Touch(1)));
        let mut queued = pin!(submit(&queue, &deadlines, &id, Write::Touch(2)));
        assert!(taken.as_mut().now_or_never().is_none());
        assert!(queued.as_mut().now_or_never().is_none());

        let WriterStep::Batch(batch) = queue.next(&mut SpinWait::new(), None) else {
            panic!("no batch")
        };
        assert_eq!((batch.len(), queue.depth()), (1, 1));
        drop(batch);
        drop(thread::AbandonOnDrop(Arc::clone(&queue)));

        for waiting in [taken, queued] {
            let error = waiting.now_or_never().expect("still waiting").unwrap_err();
            assert_eq!(
                (error.kind(), error.session()),
                (StoreErrorKind::OutcomeUnknown, Some(&id))
            );
        }
        let error =
            submit(&queue, &deadlines, &id, Write::Touch(3)).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Closed);
    }
}

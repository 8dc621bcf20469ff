//! The changes that wait for a connection.

use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, ExtendOutcome, Extension, StoreError,
    StoreErrorKind,
};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, oneshot};

pub(crate) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A change that was accepted. It is made even if nobody waits for the answer any more.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: SessionId,
    pub(crate) change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    Commit(Commit, Answer<CommitOutcome>),
    Extend(Extension, Answer<ExtendOutcome>),
    Touch(u64, Answer<()>),
    Delete(DeleteIf, Answer<DeleteOutcome>),
}

impl Request {
    /// Answers with the error. Nobody may wait for it.
    pub(crate) fn fail(self, error: StoreError) {
        let error = error.in_session(&self.id);
        match self.change {
            Change::Commit(_, answer) => drop(answer.send(Err(error))),
            Change::Extend(_, answer) => drop(answer.send(Err(error))),
            Change::Touch(_, answer) => drop(answer.send(Err(error))),
            Change::Delete(_, answer) => drop(answer.send(Err(error))),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    requests: VecDeque<Request>,
    closed: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, request: Request) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(StoreError::new(StoreErrorKind::Closed, "the store was closed"));
        }
        waiting.requests.push_back(request);
        drop(waiting);
        self.news.notify_one();
        Ok(())
    }

    /// How many changes wait.
    pub(crate) fn depth(&self) -> usize {
        self.waiting().requests.len()
    }

    /// Takes no more. What waits is still made.
    pub(crate) fn close(&self) {
        self.waiting().closed = true;
        self.news.notify_waiters();
        self.news.notify_one();
    }

    /// Waits for requests and takes what `take` picks, at least one; `None` after the queue was
    /// closed and is empty.
    pub(crate) async fn next<T>(
        &self,
        mut take: impl FnMut(&mut VecDeque<Request>) -> T,
    ) -> Option<T> {
        loop {
            let news = self.news.notified();
            {
                let mut waiting = self.waiting();
                if !waiting.requests.is_empty() {
                    let taken = take(&mut waiting.requests);
                    if !waiting.requests.is_empty() {
                        self.news.notify_one();
                    }
                    return Some(taken);
                }
                if waiting.closed {
                    self.news.notify_one();
                    return None;
                }
            }
            news.await;
        }
    }
}

//! The changes that wait for a connection.

use crate::commit::is_small_append;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, DeleteOutcome, ExtendOutcome, Extension, StoreError,
    StoreErrorKind,
};
use std::collections::{HashSet, VecDeque};
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

    /// Whether the change is an append that can be in a group.
    fn is_append(&self) -> bool {
        matches!(&self.change, Change::Commit(commit, _) if is_small_append(commit))
    }

    fn bytes(&self) -> u64 {
        match &self.change {
            Change::Commit(commit, _) => commit.bytes(),
            _ => 0,
        }
    }
}

/// The most commits that one statement makes, and the most bytes of their bodies.
const GROUP_COMMITS: usize = 256;
const GROUP_BYTES: u64 = 4 << 20;

/// The most connections that make groups of appends. With more of them, groups would be smaller,
/// and each group costs the server a statement, a commit and a sync.
const GROUPS: usize = 2;

/// The search for a request that is no append ends after so many.
const LOOK: usize = 64;

/// Requests to make on one connection: appends to different sessions, or one other change.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) requests: VecDeque<Request>,
    /// How many of them are appends.
    pub(crate) appends: usize,
}

#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug)]
struct Waiting {
    requests: VecDeque<Request>,
    closed: bool,
    /// The connections for changes.
    connections: usize,
    /// Those that make appends now, and how many.
    appending: usize,
    appends: usize,
}

impl Waiting {
    /// Whether an idle connection takes appends.
    fn takes_appends(&self) -> bool {
        self.is_calm() || self.appending < GROUPS
    }

    /// Whether there are enough connections to make each append alone.
    fn is_calm(&self) -> bool {
        self.appends + self.requests.len() <= self.connections
    }

    /// Takes what an idle connection makes next. The requests on one session stay in order.
    fn take(&mut self) -> Option<Taken> {
        let is_calm = self.is_calm();
        let next = if self.takes_appends() { 0 } else { self.first_other()? };
        let request = self.requests.remove(next)?;
        if !request.is_append() {
            return Some(Taken { requests: [request].into(), appends: 0 });
        }
        let mut group = VecDeque::from([request]);
        if !is_calm {
            self.add_others(&mut group);
        }
        self.appending += 1;
        self.appends += group.len();
        Some(Taken { appends: group.len(), requests: group })
    }

    /// The first request that is no append, and has none of its session before it.
    fn first_other(&self) -> Option<usize> {
        let mut met = HashSet::new();
        self.requests
            .iter()
            .take(LOOK)
            .position(|request| met.insert(&request.id) && !request.is_append())
    }

    /// Adds waiting appends to other sessions.
    fn add_others(&mut self, group: &mut VecDeque<Request>) {
        let mut met: HashSet<SessionId> = group.iter().map(|request| request.id.clone()).collect();
        let mut bytes: u64 = group.iter().map(Request::bytes).sum();
        let mut kept = VecDeque::new();
        while group.len() < GROUP_COMMITS
            && bytes < GROUP_BYTES
            && let Some(request) = self.requests.pop_front()
        {
            let first = met.insert(request.id.clone());
            if first && request.is_append() {
                bytes += request.bytes();
                group.push_back(request);
            } else {
                kept.push_back(request);
            }
        }
        while let Some(request) = kept.pop_back() {
            self.requests.push_front(request);
        }
    }
}

impl Queue {
    /// A queue for so many connections.
    pub(crate) fn new(connections: usize) -> Self {
        let requests = VecDeque::new();
        let waiting = Waiting { requests, closed: false, connections, appending: 0, appends: 0 };
        Self { waiting: Mutex::new(waiting), news: Notify::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code panics while it holds the lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn push(&self, request: Request) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(StoreError::new(StoreErrorKind::Closed, "the store was closed"));
        }
        let is_append = request.is_append();
        waiting.requests.push_back(request);
        // Otherwise the next connection that becomes idle takes the append.
        let wakes = !is_append || waiting.takes_appends();
        drop(waiting);
        if wakes {
            self.news.notify_one();
        }
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

    /// A connection has made what it took.
    pub(crate) fn made(&self, appends: usize) {
        if appends > 0 {
            let mut waiting = self.waiting();
            waiting.appending -= 1;
            waiting.appends -= appends;
        }
    }

    /// Waits for requests and takes some; `None` after the queue was closed and is empty.
    pub(crate) async fn next(&self) -> Option<Taken> {
        loop {
            let news = self.news.notified();
            {
                let mut waiting = self.waiting();
                if let Some(taken) = waiting.take() {
                    if !waiting.requests.is_empty() {
                        self.news.notify_one();
                    }
                    return Some(taken);
                }
                if waiting.closed && waiting.requests.is_empty() {
                    self.news.notify_one();
                    return None;
                }
            }
            news.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Queue, Request, Taken};
    use bytes::Bytes;
    use durable_session::SessionId;
    use durable_session::store::{Commit, Expect, Incarnation, NewMessage, Op, Version};
    use futures_util::FutureExt;
    use std::time::Duration;
    use tokio::sync::oneshot;

    fn push(queue: &Queue, id: &str, change: Change) {
        let id = SessionId::new(id).unwrap();
        queue.push(Request { id, change }).unwrap();
    }

    fn append(queue: &Queue, id: &str) {
        let version = Version::new(Incarnation::from_bytes([7; 16]), 1);
        let expect = Expect::Version { version, next_seq: 1 };
        let ops = vec![Op::Append(NewMessage::plain(Bytes::from_static(b"hi")))];
        push(queue, id, Change::Commit(Commit::new(expect, ops, 0), oneshot::channel().0));
    }

    fn touch(queue: &Queue, id: &str) {
        push(queue, id, Change::Touch(0, oneshot::channel().0));
    }

    /// What an idle connection takes, if it takes anything.
    fn taken(queue: &Queue) -> Option<Vec<String>> {
        let Taken { requests, .. } = queue.next().now_or_never()??;
        Some(requests.iter().map(|request| request.id.as_str().to_owned()).collect())
    }

    #[test]
    fn while_there_are_connections_for_all_appends_each_goes_alone() {
        let queue = Queue::new(4);
        for id in ["a", "b", "c"] {
            append(&queue, id);
        }
        assert_eq!(taken(&queue).unwrap(), ["a"]);
        assert_eq!(taken(&queue).unwrap(), ["b"]);
        assert_eq!(taken(&queue).unwrap(), ["c"]);
        append(&queue, "d");
        assert_eq!(taken(&queue).unwrap(), ["d"]);
    }

    #[test]
    fn with_more_appends_two_connections_take_all_and_the_others_take_what_is_no_append() {
        let queue = Queue::new(4);
        for id in ["a", "b", "c", "d", "e"] {
            append(&queue, id);
        }
        assert_eq!(taken(&queue).unwrap(), ["a", "b", "c", "d", "e"]);
        append(&queue, "f");
        append(&queue, "f");
        append(&queue, "g");
        assert_eq!(taken(&queue).unwrap(), ["f", "g"], "one append to a session");
        assert_eq!(taken(&queue), None, "two connections append");
        touch(&queue, "f");
        assert_eq!(taken(&queue), None, "the append to this session is first");
        touch(&queue, "h");
        assert_eq!(taken(&queue).unwrap(), ["h"]);
        queue.made(5);
        assert_eq!(taken(&queue).unwrap(), ["f"]);
        assert_eq!(taken(&queue).unwrap(), ["f"]);
    }

    /// Connections that look again only when they are woken.
    #[tokio::test]
    async fn whatever_is_pushed_is_taken_and_the_queue_ends() {
        let queue = std::sync::Arc::new(Queue::new(4));
        let connections: Vec<_> = (0..4)
            .map(|_| {
                let queue = std::sync::Arc::clone(&queue);
                tokio::spawn(async move {
                    let mut all = 0;
                    while let Some(Taken { requests, appends }) = queue.next().await {
                        tokio::time::sleep(Duration::from_micros(200)).await;
                        all += requests.len();
                        queue.made(appends);
                    }
                    all
                })
            })
            .collect();
        for n in 0..2_000 {
            if n % 7 == 0 {
                touch(&queue, &format!("s{}", n % 50));
            } else {
                append(&queue, &format!("s{}", n % 50));
            }
            if n % 40 == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        queue.close();
        let mut all = 0;
        for connection in connections {
            all += connection.await.unwrap();
        }
        assert_eq!(all, 2_000);
    }
}

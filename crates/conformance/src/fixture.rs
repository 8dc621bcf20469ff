//! The store under test, with short ways to use it.

use crate::failure::ensure_eq;
use crate::{Failure, Instance};
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, LoadOutcome, LoadQuery, Loaded, Op, Page, ReadQuery, Row,
    SessionList, SessionStore, Sharing, TailBounds,
};
use std::cell::Cell;
use std::sync::Arc;
use std::task::Poll;

/// A plausible time for commits, Unix milliseconds.
pub(crate) const T: u64 = 1_763_264_606_917;

pub(crate) type Checked<T = ()> = Result<T, Failure>;

/// A store under test.
pub(crate) struct Fixture {
    instance: Box<dyn Instance>,
}

impl Fixture {
    pub(crate) fn new(instance: Box<dyn Instance>) -> Self {
        PATIENT.set(instance.store().sharing() == Sharing::Shared);
        Self { instance }
    }

    pub(crate) fn store(&self) -> Arc<dyn SessionStore> {
        self.instance.store()
    }

    pub(crate) fn list(&self) -> Checked<Arc<dyn SessionList>> {
        self.instance.list().ok_or_else(|| {
            Failure::new("the factory declares List, but Instance::list returned None")
        })
    }

    pub(crate) async fn reopen(&mut self) -> Checked {
        Ok(self.instance.reopen().await?)
    }

    pub(crate) async fn crash_and_reopen(&mut self) -> Checked {
        Ok(self.instance.crash_and_reopen().await?)
    }

    pub(crate) async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Checked {
        Ok(self.instance.corrupt_message(id, seq).await?)
    }

    pub(crate) async fn corrupt_head(&mut self, id: &SessionId) -> Checked {
        Ok(self.instance.corrupt_head(id).await?)
    }

    pub(crate) async fn corrupt_chunk(&mut self, id: &SessionId, seq: u64, offset: u64) -> Checked {
        Ok(self.instance.corrupt_chunk(id, seq, offset).await?)
    }

    pub(crate) async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Checked {
        Ok(self.instance.misplace_message(from, to, seq).await?)
    }

    pub(crate) async fn back_up(&mut self) -> Checked {
        Ok(self.instance.back_up().await?)
    }

    pub(crate) async fn restore_backup(&mut self) -> Checked {
        Ok(self.instance.restore_backup().await?)
    }

    /// Creates the session with a commit, which must succeed.
    pub(crate) async fn create(&self, id: &SessionId, ops: Vec<Op>) -> Checked<Head> {
        self.committed(id, creation(ops)).await
    }

    /// Commits on top of `head`, which must succeed.
    pub(crate) async fn change(&self, id: &SessionId, head: Head, ops: Vec<Op>) -> Checked<Head> {
        self.committed(id, on(head, ops)).await
    }

    /// Makes a commit that must succeed.
    pub(crate) async fn committed(&self, id: &SessionId, commit: Commit) -> Checked<Head> {
        match self.store().commit(id, commit).await? {
            CommitOutcome::Committed(head) => Ok(head),
            other => Err(Failure::new(format_args!("a valid commit ended as {other:?}"))),
        }
    }

    /// The head, the app state and all messages of a short session, which must exist.
    pub(crate) async fn all(&self, id: &SessionId) -> Checked<Loaded> {
        self.maybe_all(id)
            .await?
            .ok_or_else(|| Failure::new(format_args!("session {} is absent", id.as_str())))
    }

    /// The head, the app state and all messages of a short session; `None` if it is absent.
    pub(crate) async fn maybe_all(&self, id: &SessionId) -> Checked<Option<Loaded>> {
        self.load(id, EVERYTHING).await
    }

    /// The session with its tail within the bounds; `None` if it is absent.
    pub(crate) async fn load(&self, id: &SessionId, bounds: TailBounds) -> Checked<Option<Loaded>> {
        match self.store().load(id, LoadQuery::new(bounds)).await? {
            LoadOutcome::Absent => Ok(None),
            LoadOutcome::Loaded(loaded) => Ok(Some(loaded)),
            LoadOutcome::Unchanged => {
                Err(Failure::new("a load without a known version answered Unchanged"))
            }
        }
    }

    /// A page of a session, which must exist.
    pub(crate) async fn page(&self, id: &SessionId, query: ReadQuery) -> Checked<Page> {
        let page = self.store().read(id, query).await?;
        page.ok_or_else(|| Failure::new(format_args!("session {} is absent", id.as_str())))
    }

    /// Checks that load, read and the totals of the head all show exactly these messages.
    pub(crate) async fn holds(&self, id: &SessionId, expected: &[(u64, &str)]) -> Checked<Loaded> {
        let loaded = self.all(id).await?;
        let expected = rows(expected);
        ensure_eq!(loaded.tail, expected, "the messages that load returns");
        let page = self.page(id, range(1, u64::MAX)).await?;
        ensure_eq!(page.rows, expected, "the messages that read returns");
        ensure_eq!(loaded.head.messages, expected.len() as u64, "the head's number of messages");
        let bytes: u64 = expected.iter().map(|row| row.body.len() as u64).sum();
        ensure_eq!(loaded.head.bytes, bytes, "the head's bytes of messages");
        Ok(loaded)
    }
}

/// Bounds that short sessions do not reach.
pub(crate) const EVERYTHING: TailBounds = TailBounds::new(1 << 20, u64::MAX);

/// A load of all messages of a short session.
pub(crate) const WHOLE: LoadQuery = LoadQuery::new(EVERYTHING);

pub(crate) fn id(text: &str) -> Checked<SessionId> {
    SessionId::new(text).map_err(Failure::new)
}

/// A session id like those of real services.
pub(crate) fn session() -> Checked<SessionId> {
    id("session-1763264606917-w2j2kfd45")
}

/// A commit that creates a session.
pub(crate) fn creation(ops: Vec<Op>) -> Commit {
    Commit::new(Expect::absent(T), ops, T)
}

/// A commit on top of `head`.
pub(crate) fn on(head: Head, ops: Vec<Op>) -> Commit {
    Commit::new(head.expect(), ops, T)
}

/// The same commit at another time.
pub(crate) fn at(at: u64, commit: Commit) -> Commit {
    Commit::new(commit.expect, commit.ops, at)
}

pub(crate) fn body(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn append(text: &str) -> Op {
    Op::append(body(text))
}

pub(crate) fn appends<'a>(texts: impl IntoIterator<Item = &'a str>) -> Vec<Op> {
    texts.into_iter().map(append).collect()
}

pub(crate) fn replace(seq: u64, text: &str) -> Op {
    Op::replace(seq, body(text))
}

pub(crate) fn remove(first: u64, last: u64) -> Op {
    Op::Remove { first, last }
}

pub(crate) fn set_app(text: &str) -> Op {
    Op::SetApp(body(text))
}

pub(crate) fn rows(expected: &[(u64, &str)]) -> Vec<Row> {
    expected.iter().map(|&(seq, text)| Row { seq, body: body(text) }).collect()
}

/// All messages from `first` to `last`, oldest first.
pub(crate) fn range(first: u64, last: u64) -> ReadQuery {
    ReadQuery::forward(first, last)
}

thread_local! {
    /// Whether the store under test may ask a server.
    static PATIENT: Cell<bool> = const { Cell::new(false) };
}

/// Looks at something until it is as it should be: many more looks than any store needs.
///
/// A shared store may ask a server, so the later looks leave it time.
pub(crate) struct Looks {
    left: usize,
    at_once: usize,
}

impl Looks {
    const AT_ONCE: usize = 1_000;
    const LATER: usize = 20_000;

    /// At most so many looks if the store is in this process.
    pub(crate) fn new(looks: usize) -> Self {
        if PATIENT.get() && cfg!(not(target_family = "wasm")) {
            return Self { left: Self::AT_ONCE + Self::LATER, at_once: Self::AT_ONCE };
        }
        Self { left: looks, at_once: looks }
    }

    /// Waits for the next look; `false` if there were enough.
    pub(crate) async fn next(&mut self) -> bool {
        yield_now().await;
        match self.at_once.checked_sub(1) {
            Some(left) => self.at_once = left,
            None => std::thread::sleep(std::time::Duration::from_millis(1)),
        }
        self.left = self.left.saturating_sub(1);
        self.left > 0
    }
}

/// Yields to the other tasks of this thread and to other threads.
pub(crate) async fn yield_now() {
    std::thread::yield_now();
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

//! Forking a session (clause C13).

use super::call::Require;
use super::chat::ChatSession;
use super::closing::make_close;
use super::machine::{Change, Known, Make, View, message};
use super::registry::Session;
use crate::app::AppState;
use crate::error::{Error, LimitKind};
use crate::pages::{self, PAGE_BYTES, PAGE_MESSAGES};
use crate::reply::ReplyEnd;
use crate::store::{Incarnation, Labels, ReadQuery, StoreError, StoreErrorKind};
use crate::sync::Arc;
use crate::{Message, SessionId};
use bytestring::ByteString;
use sha2::{Digest, Sha256};

/// The part of a session that a [fork](ChatSession::fork) copies.
///
/// ```
/// use durable_session::Fork;
///
/// // The messages up to the one at seq 12, that one included.
/// let fork = Fork::through(12);
/// # let _ = fork;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Fork {
    through: u64,
}

impl Fork {
    /// The messages up to `seq`, that one included. 0 copies no message.
    pub fn through(seq: u64) -> Self {
        Self { through: seq }
    }
}

/// A copy of the first messages of a session, at one version.
struct Copied {
    source: Incarnation,
    messages: Vec<Message>,
    bytes: u64,
    app: ByteString,
    labels: Labels,
}

impl<A: AppState> ChatSession<A> {
    /// Makes a new session with id `id` from this one: its messages up to a seq, its app state and
    /// its labels, as they were at one version. The new session comes into being whole or not at
    /// all, in one commit.
    ///
    /// The bodies of the messages are equal byte for byte. Their seqs are 1, 2, 3, …: the new
    /// session has a history of its own, and messages that were removed from the source leave no
    /// gaps in it. A message that a reply is writing is copied as if the reply were interrupted
    /// now; in the source the reply goes on. A handle made by [`owned_by`](Self::owned_by) gives
    /// the new session its owner instead of that of the source.
    ///
    /// A repeated call, with the same source, `id` and seq, finds the session that the first one
    /// made, and returns it as it is now. So a call whose outcome is unknown can be made again.
    ///
    /// ```
    /// use durable_session::Fork;
    /// # use durable_session::{ChatSession, Error, SessionId};
    /// # async fn example(chat: ChatSession, new_id: SessionId) -> Result<(), Error> {
    /// let fork = chat.fork(new_id, Fork::through(12)).await?;
    /// assert!(fork.snapshot().await?.message_count() <= 12);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::SessionExists`] if there is a session `id` that no such call made;
    /// [`Error::NoSuchMessage`] if this session does not exist, or `seq` is greater than the seqs
    /// of all its messages so far; [`Error::UnknownFormat`] if a reply is open in a format that is
    /// not set up; [`Error::TooLarge`] if the copy is more than the store takes in one commit;
    /// [`Error::Contended`], [`Error::Store`].
    pub async fn fork(&self, id: SessionId, fork: Fork) -> Result<Self, Error> {
        let target = self.session.registry.session(id);
        target.fork_of(&self.session, fork.through).await?;
        Ok(Self::new(target))
    }
}

impl Session {
    /// Makes this session a fork of `source`, unless it is one already.
    async fn fork_of(&self, source: &Self, through: u64) -> Result<(), Error> {
        let seen = source.view().await?;
        let there = self.view().await?;
        if there.exists {
            // A retry copies nothing.
            return self.check_fork(&there, self.fork_life(source, seen.incarnation(), through));
        }
        let copied = source.copy(through).await?;
        let drawn = Incarnation::draw(&*self.registry.random).map_err(|e| {
            StoreError::new(StoreErrorKind::Unavailable, "no randomness for a fork").with_source(e)
        })?;
        let life = self.fork_life(source, copied.source, through);
        let mut incarnation = drawn.to_bytes();
        incarnation[8..].copy_from_slice(&life);
        let incarnation = Incarnation::from_bytes(incarnation);
        self.apply_on_copy(Require::Settled, |planner, view, _| {
            if view.exists {
                self.check_fork(&view, life)?;
                return Ok(((), Vec::new(), view));
            }
            planner
                .config
                .check_session(copied.messages.len() as u64, copied.bytes)
                .map_err(|e| planner.too_large(&e))?;
            let mut changes = vec![Change::Begin(incarnation)];
            changes.extend(copied.messages.iter().cloned().map(Change::append));
            changes.push(Change::SetApp(copied.app.clone()));
            if !copied.labels.is_empty() {
                changes.push(Change::SetLabels(copied.labels.clone()));
            }
            let mut after = view;
            Arc::make_mut(&mut after).apply_all(&changes);
            Ok(((), changes, after))
        })
        .await
    }

    /// The half of the incarnation of a fork that no salt changes. It names the source's creation,
    /// the seq and the fork's id, so a retry finds its fork again. The other half is drawn, so no
    /// version occurs twice (S3).
    fn fork_life(&self, source: &Self, created: Incarnation, through: u64) -> [u8; 8] {
        let mut hash = Sha256::new();
        hash.update(b"durable-session fork 1");
        for part in [
            &through.to_be_bytes()[..],
            &created.life().to_be_bytes(),
            &(source.actor.id.as_str().len() as u64).to_be_bytes(),
            source.actor.id.as_str().as_bytes(),
            self.actor.id.as_str().as_bytes(),
        ] {
            hash.update(part);
        }
        let mut life = [0; 8];
        life.copy_from_slice(&hash.finalize()[..8]);
        life
    }

    /// Whether an earlier call of the same fork has made the session in `view`.
    fn check_fork(&self, view: &View, life: [u8; 8]) -> Result<(), Error> {
        if view.incarnation().life() == u64::from_le_bytes(life) {
            Ok(())
        } else {
            Err(Error::SessionExists { session: self.actor.id.clone() })
        }
    }

    /// The messages up to a seq, the app state and the labels, at one version.
    async fn copy(&self, through: u64) -> Result<Copied, Error> {
        let mut view = self.read_view().await?;
        for _ in 0..self.registry.config.attempts {
            if !view.exists || through >= view.head.next_seq {
                return Err(Error::NoSuchMessage { session: self.actor.id.clone(), seq: through });
            }
            match self.copy_at(&view, through).await? {
                Some(copied) => return Ok(copied),
                None => view = self.newer(&view).await?,
            }
        }
        Err(Error::Contended { session: self.actor.id.clone() })
    }

    /// `None` if the store no longer has the messages as they are in `view`.
    async fn copy_at(&self, view: &View, through: u64) -> Result<Option<Copied>, Error> {
        let (store, id) = (&*self.registry.store, &self.actor.id);
        let (app, mut labels) = (view.app.clone(), view.labels.clone());
        if let Some(owner) = self.begins_with.as_deref().and_then(Labels::get_owner) {
            labels = Labels::owner(owner).title(labels.get_title().unwrap_or_default());
        }
        let mut copied =
            Copied { source: view.incarnation(), messages: Vec::new(), bytes: 0, app, labels };
        let (mut first, mut interrupted) = (1, false);
        while first <= through {
            let query = ReadQuery::forward(first, through)
                .max_messages(PAGE_MESSAGES)
                .max_bytes(PAGE_BYTES);
            let page = store.read(id, query).await?;
            let Some(page) = page.filter(|page| pages::continues(&view.head, &page.head)) else {
                return Ok(None);
            };
            let Some(last) = page.rows.last().map(|row| row.seq) else { break };
            for row in page.rows {
                let seq = row.seq;
                let mut message = message(id, row)?;
                if let Some(reply) = view.reply(seq) {
                    let format = self.registry.config.replies.get(&reply.format);
                    let format = format.ok_or_else(|| Error::UnknownFormat {
                        session: id.clone(),
                        format: reply.format.clone(),
                    })?;
                    let make = Make {
                        seq,
                        claim: reply.claim,
                        format,
                        known: Known { opened: Some(message), log: Arc::default(), counts: None },
                        how: ReplyEnd::Interrupted,
                        reason: None,
                    };
                    let Some(close) = make_close(store, id, &make).await? else { return Ok(None) };
                    (message, interrupted) = (close.message, true);
                }
                copied.bytes += message.bytes() as u64;
                copied.messages.push(message);
                self.check_copy(&copied)?;
            }
            if !page.more {
                break;
            }
            first = last + 1;
        }
        if interrupted {
            // The chunks were read after the messages.
            let page = store.read(id, ReadQuery::forward(1, 0)).await?;
            if page.is_none_or(|page| !pages::continues(&view.head, &page.head)) {
                return Ok(None);
            }
        }
        Ok(Some(copied))
    }

    /// Whether one commit takes so much.
    fn check_copy(&self, copied: &Copied) -> Result<(), Error> {
        let limits = &self.registry.config.store_limits;
        // The app state and the labels are operations, too.
        let ops = copied.messages.len() as u64 + 2;
        let too_large =
            |limit, is, max| Error::TooLarge { session: self.actor.id.clone(), limit, is, max };
        if ops > limits.max_commit_ops as u64 {
            return Err(too_large(LimitKind::CommitOps, ops, limits.max_commit_ops as u64));
        }
        let bytes = copied.bytes + copied.app.len() as u64;
        if bytes > limits.max_commit_bytes {
            return Err(too_large(LimitKind::CommitBytes, bytes, limits.max_commit_bytes));
        }
        Ok(())
    }
}

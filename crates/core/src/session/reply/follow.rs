//! Following a reply (clause C11).

use crate::Message;
use crate::error::Error;
use crate::pages;
use crate::reply::EndedReply;
use crate::session::actor::Cell;
use crate::session::closing::chunk_text;
use crate::session::current::Interval;
use crate::session::driver::{self, Listener};
use crate::session::machine;
use crate::session::read::MessageQuery;
use crate::session::registry::Session;
use crate::store::{ChunkQuery, Claim};
use crate::sync::Arc;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::task::Poll;

/// The answer of [`Follow::next`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Followed {
    /// A chunk, which is durable.
    Chunk {
        /// Its number in the reply, from 0.
        at: u64,
        /// Its JSON text.
        json: String,
    },
    /// The reply has ended. Its final message has everything that was shown, and perhaps chunks
    /// that this follower did not get.
    Ended(EndedReply),
}

/// Follows a reply: its stored chunks from the offset asked for, then the live ones, then its end.
/// Each chunk comes once, in order, and only after it is durable (clause C11).
///
/// A follower that is dropped stops nothing. Afterwards, or after a lost connection, another one
/// goes on from the offset [`at`](Self::at).
pub struct Follow {
    session: Session,
    seq: u64,
    /// The reply; `None` if none was open.
    claim: Option<Claim>,
    /// Whether its chunks come from memory: its producer is in this `ChatSessions`.
    attached: bool,
    message: Message,
    /// The number of the next chunk.
    at: u64,
    /// Chunks that were read from the store and not taken yet.
    read: VecDeque<String>,
    ended: Option<EndedReply>,
    interval: Interval,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow")
            .field("session", &self.session.actor.id)
            .field("seq", &self.seq)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.filter(|_| self.attached) {
            self.session.actor.lock().machine.detach(&claim);
        }
    }
}

impl Follow {
    /// Follows the reply of the message at `seq`, from the chunk with the number `at` on.
    pub(super) async fn begin(session: &Session, seq: u64, at: u64) -> Result<Self, Error> {
        let mut view = session.read_view().await?;
        let (claim, attached, message) = loop {
            let claim = view.reply(seq).map(|open| open.claim);
            let live = claim.and_then(|claim| session.actor.lock().machine.attach(&claim));
            if let Some(message) = live {
                break (claim, true, message);
            }
            let mut page = session.page(Arc::clone(&view), MessageQuery::at(seq)).await?;
            if page.version != view.version() {
                // The reply may have ended meanwhile.
                view = session.current_view().await?;
                continue;
            }
            let Some(stored) = page.messages.pop() else {
                return Err(Error::NoSuchMessage { session: session.actor.id.clone(), seq });
            };
            break (claim, false, stored.message);
        };
        let (session, read) = (session.clone(), VecDeque::new());
        Ok(Self {
            session,
            seq,
            claim,
            attached,
            message,
            at,
            read,
            ended: None,
            interval: Interval::default(),
        })
    }

    /// The seq of the message.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The message as it read when this follower began: as it was opened, if the reply was open.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Whether the reply was open when this follower began.
    pub fn was_open(&self) -> bool {
        self.claim.is_some()
    }

    /// The number of the next chunk.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Waits for the next chunk, or for the end. Dropping the future loses nothing.
    ///
    /// If the producer of the reply is in another process, or in another
    /// [`ChatSessions`](crate::ChatSessions), nothing wakes this future for new chunks. Drop it
    /// after a while then and call it again: each call looks into the store.
    ///
    /// ```
    /// use durable_session::Followed;
    /// # use durable_session::{ChatSession, Error};
    /// # async fn example(chat: ChatSession) -> Result<(), Error> {
    /// let mut follow = chat.follow(3, 0).await?;
    /// loop {
    ///     match follow.next().await? {
    ///         Followed::Chunk { at, json } => println!("{at}: {} bytes", json.len()),
    ///         Followed::Ended(ended) => break println!("{}", ended.how),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Store`] if the store fails, or if a stored chunk is damaged.
    pub async fn next(&mut self) -> Result<Followed, Error> {
        if let Some(ended) = &self.ended {
            return Ok(Followed::Ended(ended.clone()));
        }
        let chunk = match (self.read.pop_front(), self.claim) {
            (Some(json), _) => Some(json),
            (None, Some(claim)) if self.attached => self.next_live(claim).await,
            (None, Some(claim)) => self.next_stored(claim).await?,
            (None, None) => None,
        };
        if let Some(json) = chunk {
            let at = self.at;
            self.at += 1;
            return Ok(Followed::Chunk { at, json });
        }
        let ended = self.session.ended_reply(self.seq, self.claim).await?;
        self.ended = Some(ended.clone());
        Ok(Followed::Ended(ended))
    }

    /// The next chunk in memory; `None` once the reply has ended.
    async fn next_live(&mut self, claim: Claim) -> Option<String> {
        let (session, interval, at) = (&self.session, &mut self.interval, self.at);
        let mut listener = Listener::new(session);
        let look = |cell: &mut Cell| match cell.machine.followed(&claim, at) {
            machine::Followed::Chunk(json) => Some(Some(json)),
            machine::Followed::Ended => Some(None),
            machine::Followed::Wait => None,
        };
        poll_fn(|cx| {
            interval.poll(cx, session);
            listener.poll(cx, look)
        })
        .await
    }

    /// The next chunk in the store; `None` once the reply has ended.
    async fn next_stored(&mut self, claim: Claim) -> Result<Option<String>, Error> {
        let session = self.session.clone();
        let (registry, id, seq) = (&session.registry, &session.actor.id, self.seq);
        // The state in memory says that the reply is not open. The store is asked once for that:
        // its state may be another one, and then only news is a reason to look again.
        let mut looked = false;
        loop {
            let query = ChunkQuery::from(seq, self.at)
                .max_chunks(pages::PAGE_MESSAGES)
                .max_bytes(pages::PAGE_BYTES);
            let page = registry.store.read_chunks(id, query).await?;
            let Some(page) = page.filter(|page| page.reply.claim == claim) else {
                return Ok(None);
            };
            let mut read = VecDeque::with_capacity(page.chunks.len());
            for (offset, chunk) in (self.at..).zip(&page.chunks) {
                read.push_back(chunk_text(id, seq, offset, chunk)?.to_owned());
            }
            if let Some(first) = read.pop_front() {
                self.read = read;
                return Ok(Some(first));
            }
            driver::interrupt_dead(registry, &session.actor, &[page.reply]);
            // Anything that happens to the session is a reason to look again.
            let (mut listener, mut woken) = (Listener::new(&session), false);
            poll_fn(|cx| {
                let over = self.interval.poll(cx, &session);
                if std::mem::replace(&mut woken, true) {
                    return Poll::Ready(());
                }
                if over {
                    // At the next turn: a pause may be shorter than a turn.
                    cx.waker().wake_by_ref();
                }
                listener.poll(cx, |cell| {
                    let view = cell.machine.view().filter(|_| !looked)?;
                    let open = view.reply(seq).is_some_and(|open| open.claim == claim);
                    looked = !open;
                    (!open).then_some(())
                })
            })
            .await;
        }
    }
}

//! Changes: the steps from one view of a session to the next.

use crate::Message;
use crate::reply::ReplyEnd;
use crate::store::{Claim, IdTag, Incarnation, Labels, NewMessage, Op, ReplyCounts, ReplyOpening};
use bytestring::ByteString;
use std::fmt;

/// One change to a session, as a call stages it; becomes an [`Op`] of the store.
#[derive(Clone)]
pub(crate) enum Change {
    /// Begins a session that does not exist, without its initial state. The first change of its
    /// commit.
    Begin(Incarnation),
    Append {
        message: Message,
        id: IdTag,
    },
    Replace {
        seq: u64,
        message: Message,
        id: IdTag,
    },
    Remove {
        first: u64,
        last: u64,
    },
    SetApp(ByteString),
    SetLabels(Labels),
    // Boxed, since few changes are about replies.
    Open(Box<Open>),
    Close(Box<Close>),
}

/// The opening of a reply.
#[derive(Clone)]
pub(crate) struct Open {
    /// The message that is opened again; `None` appends a new one.
    pub(crate) seq: Option<u64>,
    /// The message as it reads while the reply is open.
    pub(crate) message: Message,
    pub(crate) id: IdTag,
    pub(crate) opening: ReplyOpening,
}

/// The end of a reply that leaves its message. `Debug` shows no content.
#[derive(Clone)]
pub(crate) struct Close {
    pub(crate) seq: u64,
    pub(crate) claim: Claim,
    /// The counts of the chunks and beats that the message was made from.
    pub(crate) counts: ReplyCounts,
    pub(crate) message: Message,
    pub(crate) id: IdTag,
    pub(crate) how: ReplyEnd,
}

impl Change {
    /// Appends a message whose id nobody has read yet.
    pub(crate) fn append(message: Message) -> Self {
        Self::Append { id: IdTag::of_message(&message), message }
    }

    /// Gives the message at `seq` other content.
    pub(crate) fn replace(seq: u64, message: Message) -> Self {
        Self::Replace { seq, id: IdTag::of_message(&message), message }
    }

    /// The operation that stores it; `None` if the commit's expectation says it.
    pub(crate) fn op(&self) -> Option<Op> {
        Some(match self {
            Self::Begin(_) => return None,
            Self::Append { message, id } => Op::Append(NewMessage::tagged(message.body(), *id)),
            Self::Replace { seq, message, id } => {
                Op::Replace { seq: *seq, message: NewMessage::tagged(message.body(), *id) }
            }
            Self::Remove { first, last } => Op::Remove { first: *first, last: *last },
            Self::SetApp(app) => Op::SetApp(app.as_bytes().clone()),
            Self::SetLabels(labels) => Op::SetLabels(labels.clone()),
            Self::Open(open) => {
                let message = NewMessage::tagged(open.message.body(), open.id);
                let message = message.opening(open.opening.clone());
                match open.seq {
                    Some(seq) => Op::Replace { seq, message },
                    None => Op::Append(message),
                }
            }
            Self::Close(close) => Op::Close {
                seq: close.seq,
                claim: close.claim,
                counts: close.counts,
                message: NewMessage::tagged(close.message.body(), close.id),
            },
        })
    }

    /// The message that it writes, if it writes one.
    pub(crate) fn message(&self) -> Option<&Message> {
        match self {
            Self::Append { message, .. } | Self::Replace { message, .. } => Some(message),
            Self::Open(open) => Some(&open.message),
            Self::Close(close) => Some(&close.message),
            Self::Begin(_) | Self::Remove { .. } | Self::SetApp(_) | Self::SetLabels(_) => None,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::SetApp(app) => app.len() as u64,
            _ => self.message().map_or(0, Message::bytes) as u64,
        }
    }

    /// The message that it gives other content, if that is its kind.
    pub(crate) fn replaced(&self) -> Option<u64> {
        match self {
            Self::Replace { seq, .. } => Some(*seq),
            Self::Open(open) => open.seq,
            Self::Close(close) => Some(close.seq),
            Self::Begin(_)
            | Self::Append { .. }
            | Self::Remove { .. }
            | Self::SetApp(_)
            | Self::SetLabels(_) => None,
        }
    }

    /// Whether it gives the message at `seq` other content.
    pub(crate) fn replaces(&self, seq: u64) -> bool {
        self.replaced() == Some(seq)
    }

    /// Whether it ends the reply that writes the message at `seq`: nothing may extend the reply
    /// after it.
    pub(crate) fn ends_reply(&self, seq: u64) -> bool {
        match self {
            Self::Remove { first, last } => (*first..=*last).contains(&seq),
            _ => self.replaces(seq),
        }
    }

    /// Whether it opens or closes a reply.
    pub(crate) fn is_of_a_reply(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Close(_))
    }

    /// Whether it adds a message at the end.
    pub(crate) fn appends(&self) -> bool {
        match self {
            Self::Append { .. } => true,
            Self::Open(open) => open.seq.is_none(),
            _ => false,
        }
    }

    /// Whether the window after it can always be told from the window before it.
    pub(crate) fn only_grows(&self) -> bool {
        self.appends() || matches!(self, Self::SetApp(_) | Self::SetLabels(_))
    }
}

impl fmt::Debug for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, claim, counts, how, .. } = self;
        f.debug_struct("Close")
            .field("seq", seq)
            .field("claim", claim)
            .field("counts", counts)
            .field("how", how)
            .finish_non_exhaustive()
    }
}

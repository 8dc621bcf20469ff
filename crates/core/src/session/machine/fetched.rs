//! Messages from before the window, read to be compared with the ones that a call adds (clause C7).

use crate::Message;
use crate::store::{Head, Version};

/// While a session's mark stays the same, its stored messages do: it only grew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    base: Version,
    closed: Version,
}

impl Mark {
    pub(crate) fn of(head: &Head) -> Self {
        Self { base: head.base, closed: head.closed }
    }
}

/// Messages that were read because their tags are those of added ids: only the messages themselves
/// tell whether they have these ids.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// The mark of the session that they were read from.
    mark: Option<Mark>,
    messages: Vec<(u64, Option<Message>)>,
}

impl Fetched {
    /// Nothing was read.
    pub(crate) const NONE: &'static Self = &Self { mark: None, messages: Vec::new() };

    /// No messages yet of a session with this mark.
    pub(crate) fn at(mark: Mark) -> Self {
        Self { mark: Some(mark), messages: Vec::new() }
    }

    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// Adds the message at `seq`, or that there is none.
    pub(crate) fn add(&mut self, seq: u64, message: Option<Message>) {
        self.messages.push((seq, message));
    }

    /// The seq and the message there, if any, of a session with this mark; `None` if it has not
    /// been read.
    pub(super) fn get(&self, mark: Mark, seq: u64) -> Option<&(u64, Option<Message>)> {
        let read = self.mark == Some(mark);
        self.messages.iter().find(|(at, _)| read && *at == seq)
    }
}

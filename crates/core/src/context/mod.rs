//! What goes to a model: the part of a conversation that fits its context.
//!
//! A history grows without end, and the context of a model does not. A history that is cut anywhere
//! is refused by the providers: a tool's result without its call, or a call without its result. So
//! is one that was interrupted in the middle of a call. [`Context`] makes the longest valid tail.
//!
//! ```
//! use durable_session::context::Context;
//! use durable_session::Message;
//!
//! let history = [
//!     Message::system("You teach Rust."),
//!     Message::user("What is a lifetime?"),
//!     Message::assistant("The time for which a reference is valid."),
//!     Message::user("And 'static?"),
//! ];
//! // Count as your model does. Here each message counts 10 tokens.
//! let view = Context::budget(30).count_with(|_| 10).view(&history);
//!
//! // The system message stays, and the tail begins with the answer.
//! assert_eq!(view.messages, [history[0].clone(), history[2].clone(), history[3].clone()]);
//! assert_eq!((view.tokens, view.start, view.fits), (30, 2, true));
//! ```
//!
//! # Shapes
//! Tool calls are recognized in three shapes, which may be mixed in one history:
//!
//! | shape | call | result |
//! |---|---|---|
//! | `OpenAI` | an entry of `tool_calls` | a message with the role `tool` and `tool_call_id` |
//! | Anthropic | a block `tool_use` in `content` | a block `tool_result` in the next message |
//! | AI SDK | a part `tool-…` or `dynamic-tool` in `parts` | in the part of the call |
//!
//! # Rules
//! - **Complete calls.** A call is complete if the messages directly after it have its result. In a
//!   message with other content, results come first. A part of the AI SDK is complete if its
//!   `state` is `output-available` (and not `preliminary`), `output-error` or `output-denied`, or
//!   if its approval was denied.
//! - **Left out.** Calls that are not complete are left out of their messages, and so are results
//!   without a call. A message of which nothing but thoughts remains is left out. Other messages
//!   are not changed.
//! - **Units.** A message with calls and the messages with its results are in the view together or
//!   not at all. If they do not fit, and the last of them has other content behind its results,
//!   this content may begin the tail without the results.
//! - **Kept messages.** Messages with the role `system` or `developer` and those that
//!   [`pin_if`](Context::pin_if) names are in every view, in their place, with their whole unit.
//! - **Maximal.** The kept messages use the budget first. The tail is the longest that fits into
//!   the rest: with the unit before it, the view would exceed the budget. If the kept messages
//!   alone exceed the budget, the view has them and no tail, and [`fits`](ContextView::fits) is
//!   `false`.

mod pieces;
mod units;

use crate::Message;
use std::fmt;
use units::Unit;

/// How to make a view of a conversation for a model. See the [module](self).
#[derive(Clone, Copy)]
pub struct Context<C = fn(&Message) -> usize, P = fn(&Message) -> bool> {
    budget: usize,
    count: C,
    pin: P,
}

impl Context {
    /// Views of at most so many tokens. Until [`count_with`](Self::count_with) says otherwise, a
    /// message counts one token for every 4 bytes of its JSON text, which is a rough estimate.
    ///
    /// ```
    /// use durable_session::Message;
    /// use durable_session::context::Context;
    ///
    /// let history = [Message::user("a long text ".repeat(1000)), Message::user("hi")];
    /// assert_eq!(Context::budget(100).view(&history).messages, [Message::user("hi")]);
    /// ```
    pub fn budget(tokens: usize) -> Self {
        Self { budget: tokens, count: |message| message.bytes().div_ceil(4), pin: |_| false }
    }
}

impl<C: Fn(&Message) -> usize, P: Fn(&Message) -> bool> Context<C, P> {
    /// Counts the tokens of a message, as it is in the view. A message from which calls or results
    /// were left out should not count more than the whole message.
    pub fn count_with<D: Fn(&Message) -> usize>(self, count: D) -> Context<D, P> {
        Context { budget: self.budget, count, pin: self.pin }
    }

    /// Names messages that are in every view, besides those with the role `system` or `developer`.
    /// The function sees the messages as they are stored.
    ///
    /// ```
    /// use durable_session::Message;
    /// use durable_session::context::Context;
    ///
    /// let history = [
    ///     Message::user("My name is Ada.").with("pinned", &true)?,
    ///     Message::user("Hello?"),
    ///     Message::user("Who am I?"),
    /// ];
    /// let pinned = |message: &Message| message.extra("pinned").ok().flatten() == Some(true);
    /// let view = Context::budget(2).count_with(|_| 1).pin_if(pinned).view(&history);
    /// assert_eq!(view.messages, [history[0].clone(), history[2].clone()]);
    /// # Ok::<(), durable_session::json::JsonError>(())
    /// ```
    pub fn pin_if<Q: Fn(&Message) -> bool>(self, pin: Q) -> Context<C, Q> {
        Context { budget: self.budget, count: self.count, pin }
    }

    /// Makes the view of these messages, oldest first. The same messages give the same view.
    ///
    /// Kept messages are counted once, the others once from the last one back to the first one that
    /// does not fit.
    ///
    /// ```
    /// use durable_session::context::{Context, ContextView};
    /// use durable_session::{ChatSession, Error, MessageQuery};
    ///
    /// # async fn example(chat: ChatSession) -> Result<ContextView, Error> {
    /// let page = chat.messages(MessageQuery::last(200)).await?;
    /// let view = Context::budget(8_000).view(page.messages.iter().map(|stored| &stored.message));
    /// # Ok(view)
    /// # }
    /// ```
    pub fn view<'a>(&self, messages: impl IntoIterator<Item = &'a Message>) -> ContextView {
        let messages: Vec<&Message> = messages.into_iter().collect();
        let units = units::of(&messages, &self.pin);
        let count = |message: &Message| (self.count)(message) as u128;
        let cost =
            |unit: &Unit| unit.messages.iter().map(|(_, message)| count(message)).sum::<u128>();
        let budget = self.budget as u128;
        let mut tokens: u128 = units.iter().filter(|unit| unit.kept).map(cost).sum();
        let fits = tokens <= budget;
        let mut tail = units.len();
        let mut rest = None;
        while fits && tail > 0 {
            let unit = &units[tail - 1];
            let with = if unit.kept { tokens } else { tokens + cost(unit) };
            if with > budget {
                rest = unit.rest.as_ref().filter(|(_, rest)| tokens + count(rest) <= budget);
                tokens += rest.map_or(0, |(_, rest)| count(rest));
                break;
            }
            tokens = with;
            tail -= 1;
        }
        let before = units[..tail].iter().filter(|unit| unit.kept);
        let before = before.flat_map(|unit| &unit.messages);
        let after = units[tail..].iter().flat_map(|unit| &unit.messages);
        let start = rest.or(after.clone().next()).map_or(messages.len(), |(at, _)| *at);
        let view = before.chain(rest).chain(after).map(|(_, message)| message.clone());
        let tokens = usize::try_from(tokens).unwrap_or(usize::MAX);
        ContextView { messages: view.collect(), tokens, start, fits }
    }
}

impl<C, P> fmt::Debug for Context<C, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("budget", &self.budget).finish_non_exhaustive()
    }
}

/// The part of a conversation that goes to a model.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ContextView {
    /// The messages, oldest first: the kept ones before the tail, then the tail.
    pub messages: Vec<Message>,
    /// The tokens of all these messages.
    pub tokens: usize,
    /// Where the tail begins among the given messages; their number if there is no tail. The
    /// messages before it are not in the view, except the kept ones: a service may summarize them.
    pub start: usize,
    /// Whether the view is within the budget. `false` if the kept messages alone exceed it.
    pub fits: bool,
}

//! The rules of one session (clauses C1–C5): which call may be planned when, which changes go into
//! which commit, and how each caller learns how that ended.
//!
//! A machine does nothing by itself. [`admit`](Machine::admit) tells whether a call can be planned,
//! [`stage`](Machine::stage) takes its changes, [`next`](Machine::next) gives the next call for the
//! store to make, and [`complete`](Machine::complete) takes the store's answer and gives its
//! effects. Nothing here waits, locks or asks for the time.

mod asking;
mod batch;
mod calls;
mod change;
mod changes;
mod complete;
mod difference;
mod extensions;
mod fetched;
mod log;
mod memory;
mod next;
mod pending;
mod plan;
mod replies;
mod reply_calls;
mod state;
mod stored;
#[cfg(test)]
mod tests;
mod ticket;
mod usage;
mod view;
mod work;

pub(crate) use calls::Admission;
pub(crate) use change::{Change, Close};
pub use changes::SessionChange;
pub(crate) use complete::Effects;
pub(crate) use fetched::Fetched;
pub(crate) use log::ChunkLog;
pub(crate) use plan::{Halt, Planned, Planner};
pub(crate) use replies::{End, Followed, Known};
pub(crate) use reply_calls::Refused;
pub(crate) use state::Machine;
pub use stored::{Added, StoredMessage};
pub(crate) use ticket::{
    Asked, CommitEnd, Committed, Deleted, Earlier, Extended, Kind, Loaded, Settled, Settlement,
    Ticket,
};
pub(crate) use view::{Found, LongView, Running, View, message, text};
pub(crate) use work::{Answer, Done, Lane, Make, Reach, StoreCall};

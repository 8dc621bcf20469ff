//! The driver: polls the store for a session's machine, and wakes callers.
//!
//! No task is spawned. Every caller that waits for something of a session polls its tasks, with a
//! waker that wakes them all, so a caller that goes away stops nothing.

mod drive;
mod send;
#[cfg(test)]
mod tests;
mod wait;

pub(crate) use drive::{drive, interrupt_dead, make_room};
pub(crate) use wait::{CatchUp, Listener, Wait};

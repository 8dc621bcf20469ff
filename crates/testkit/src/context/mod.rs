//! Histories with tool calls, and a check of the views that are made of them. It shares no code
//! with the library: it works on values and tries every beginning of the tail.

mod checker;
mod history;

pub use checker::{Fault, check};
pub use history::{Shape, history};

//! Durable replies: messages that are still being written (clauses C11 and C12).

mod calls;
mod ending;
mod follow;
mod gather;
mod new;
mod opening;
mod producer;
mod pulse;
mod writing;

pub use follow::{Follow, Followed};
pub use new::NewReply;
pub use opening::Opened;
pub use pulse::Pulse;
pub use writing::Reply;

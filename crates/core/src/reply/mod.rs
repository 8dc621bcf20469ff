//! The formats of replies: how chunks become a message (clause C11).

mod end;
mod format;
mod text;

pub use end::{EndedReply, ReplyEnd};
pub use format::{FormatError, ReplyFormat};
pub use text::TextReply;

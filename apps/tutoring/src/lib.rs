//! A tutoring app on top of chat sessions: its app state, its search for a tutor, and the steps of
//! a booking.
//!
//! It has no clocks and no I/O, so that the axum server and the Worker run the same app.
//! [`respond`] is the app's whole behaviour in a conversation, and [`answer`] runs it in a
//! session's turn. [`open_reply`] and [`write_reply`] give the same answer word by word:
//!
//! ```
//! use tutoring::{Tutoring, respond};
//!
//! let reply = respond(&Tutoring::default(), "I want help with python tutor");
//! assert_eq!(reply.state.pending_match, reply.tutor_match);
//! assert!(reply.text.contains("Python"));
//! ```

mod answer;
pub mod booking;
mod matcher;
mod reply;
mod search;
mod streamed;
mod tutors;
mod types;

pub use answer::answer;
pub use matcher::find_tutors;
pub use reply::{Reply, respond};
pub use streamed::{open_reply, write_reply};
pub use types::{BookingInfo, SearchCriteria, Slot, Step, Tutor, TutorMatch, Tutoring};

/// The first message of a new conversation.
pub const GREETING: &str = "Hi! 👋 I'm your AI scheduling assistant. Tell me what you need help \
                            with, and when, and I'll find you a tutor.";

//! A tutoring app on top of chat sessions: what it keeps beside the messages, how it finds a tutor, and the steps of a booking.
//!
//! Everything here is a pure function of its arguments, without clocks or I/O, so that the axum server and the Worker run
//! the same app. The app's whole behaviour in a conversation is [`respond`]:
//!
//! ```
//! use tutoring::{Tutoring, respond};
//!
//! let reply = respond(&Tutoring::default(), "I want help with python tutor");
//! assert_eq!(reply.state.pending_match, reply.tutor_match);
//! assert!(reply.text.contains("Python"));
//! ```

pub mod booking;
mod matcher;
mod reply;
mod search;
mod tutors;
mod types;

pub use matcher::find_tutors;
pub use reply::{Reply, respond};
pub use types::{BookingInfo, SearchCriteria, Slot, Step, Tutor, TutorMatch, Tutoring};

/// What a new conversation begins with.
pub const GREETING: &str = "Hi! 👋 I'm your AI scheduling assistant. Tell me what you need help with, and when, and I'll find you a tutor.";

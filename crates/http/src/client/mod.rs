//! A client for one session (feature `client`).
//!
//! ```no_run
//! use durable_session::{Message, SessionId};
//! use durable_session_http::client::ChatSessionClient;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let chat = ChatSessionClient::new("http://127.0.0.1:8080", SessionId::generate()?)?;
//! chat.add_message(Message::user("I want help with python")).await?;
//! let state = chat.get_state().await?;
//! assert!(!state.messages.is_empty());
//! # Ok(())
//! # }
//! ```

mod endpoint;
mod error;
mod events;
mod follow;
mod messages;
mod owner;
mod replies;
mod retry;
mod session;

pub use error::ClientError;
pub use events::{Event, Events};
pub use follow::{FollowReply, FollowedReply};
pub use messages::{MessagesPage, PageFrom, Posted, Stopped};
pub use owner::{LastMessage, Listed, ListedPage, OwnerClient};
pub use retry::Retry;
pub use session::ChatSessionClient;

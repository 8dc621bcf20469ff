//! The routes of a session and their handlers.

pub(crate) mod conversations;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod fields;
pub(crate) mod following;
pub(crate) mod health;
pub(crate) mod messages;
pub(crate) mod preconditions;
pub(crate) mod replies;
pub(crate) mod rewriting;
pub(crate) mod route;
pub(crate) mod state;

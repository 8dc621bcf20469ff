//! The translation between HTTP and the types of `durable_session`.

pub(crate) mod body;
pub(crate) mod cursor;
pub(crate) mod errors;
pub(crate) mod etag;
pub(crate) mod input;
pub(crate) mod paging;
pub(crate) mod parts;
pub(crate) mod refusal;
pub(crate) mod response;
pub(crate) mod sse;
pub(crate) mod stream_cursor;

//! JSON kept as it came.
//!
//! A `serde_json::Value` sorts or keeps keys, and rounds or keeps big numbers, depending on features that any crate of
//! the build can switch on. What users store must not depend on that, so messages and app state stay JSON *text*, and
//! this module answers the questions about it: can it be kept, what are an object's fields ([`JsonObject`]), and do two
//! texts say the same ([`equal`]).

mod check;
mod equal;
mod error;
mod object;

pub(crate) use check::check;
pub use equal::equal;
pub(crate) use equal::hash;
pub use error::JsonError;
pub(crate) use error::own;
pub use object::JsonObject;
pub(crate) use object::field;

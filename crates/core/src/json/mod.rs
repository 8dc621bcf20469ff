//! JSON kept as text.
//!
//! A `serde_json::Value` sorts or keeps keys, and rounds or keeps big numbers, depending on
//! features that any crate of the build can switch on. Stored messages and app state must not
//! depend on these features, so they stay JSON *text*. This module checks such text, reads the
//! fields of an object ([`JsonObject`]) and compares two texts ([`equal`]).

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

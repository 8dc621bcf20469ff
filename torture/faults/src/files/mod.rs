//! Entries 8a and 8e: the redb store's file, damaged or in use.

pub(crate) mod damage;
pub(crate) mod lock;

//! The clauses of the contract that cases cite.

use std::fmt;

macro_rules! clauses {
    ($($clause:ident $promise:literal)*) => {
        /// A clause of the contract: S for stores, C for chat sessions. `docs/contract.md` states
        /// them in full. The display of a clause is its number.
        ///
        /// ```
        /// use durable_session_conformance::Clause;
        ///
        /// assert_eq!(Clause::S3.to_string(), "S3");
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Clause {
            $(#[doc = $promise] $clause,)*
        }

        impl fmt::Display for Clause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$clause => stringify!($clause),)* })
            }
        }
    };
}

clauses! {
    S1 "A commit is whole, happens once, and is reported truthfully."
    S2 "Commits to a session are totally ordered, and seqs are never reused."
    S3 "Every commit makes a new version; a failed expectation changes nothing."
    S4 "Damage is reported, never skipped and never guessed."
    S5 "A touch raises the time of last access and nothing else."
    S6 "A delete removes everything, under a condition checked atomically."
    S7 "Limits are declared, and exceeding one changes nothing."
    S8 "A call costs as much as it returns or writes, however long the session is."
    S9 "No session shows in another, changes it or affects its calls."
    S10 "A reply grows by chunks without making a version, and ends once."
    S11 "Labels are part of the session, and an owner's sessions are listed newest first."
    S12 "A store declares its sharing, and versions stay unique over a restored backup."
    C1 "Durable, then visible."
    C2 "One live instance of a session."
    C3 "One order, few commits; a dropped caller stops nothing."
    C4 "After a failure the stored state is read again."
    C5 "A change that meets a conflict is repeated; two session registries lose no change."
    C6 "App state keeps the keys that this release does not have."
    C7 "A message id makes an append idempotent among the last 64 messages."
    C8 "An absent session reads as new and is written by its first change."
    C9 "The memory of sessions is bounded."
    C10 "Idle sessions expire, used ones do not."
    C11 "A reply shows only durable chunks, each once, and ends once."
    C12 "Only a producer that is gone is called dead, and its reply is interrupted."
    C13 "The sessions of an owner are listed and erased, and a fork is an exact copy, made once."
}

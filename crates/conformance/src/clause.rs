//! The clauses of the contract that cases cite.

use std::fmt;

macro_rules! clauses {
    ($($clause:ident $promise:literal)*) => {
        /// A clause of the contract: S for stores, C for chat sessions. `docs/contract.md` has their words.
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
    S4 "What cannot be read is named, never skipped and never guessed."
    S5 "A touch raises the time of last access and nothing else."
    S6 "A delete removes everything, under a condition checked atomically."
    S7 "Limits are declared, and exceeding one changes nothing."
    S8 "Cost depends on what is returned or written, not on the conversation's length."
    S9 "No session shows in, changes or disturbs another."
    C1 "Durable, then visible."
    C2 "One live instance of a session."
    C3 "One order, few commits; a dropped caller stops nothing."
    C4 "After a failure the stored state is the truth."
    C5 "Changes are made again on a conflict; two hubs lose nothing."
    C6 "App state keeps what this release does not know."
    C7 "A message id makes an append idempotent within the window."
    C8 "An absent session reads as new and is written by its first change."
    C9 "What a live session holds is bounded."
    C10 "Idle sessions expire, used ones do not."
}

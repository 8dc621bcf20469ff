//! Export and import of sessions as lines of JSON, between any two stores, while both are in use.
//!
//! A line is an object (shown here over several lines):
//!
//! ```text
//! {"id":"…","changedAt":…,"labels":{"owner":"…","title":"…"},"state":{…},
//!  "replies":[{"seq":…,"format":"…","chunks":[…]}]}
//! ```
//!
//! - `state` has the messages, the app's fields and two times, as in
//!   [`ChatSessionState`](crate::ChatSessionState).
//! - `changedAt` is the time when messages or app state last changed.
//! - `labels` is present if a label is set, and has the labels that are set.
//! - `replies` is present if replies are open. `state` has their messages as they were opened. A
//!   reply has the name of its format and its chunks, which are JSON; `seq` is the number of its
//!   message in `messages`, from 1.
//!
//! Only `id` and `state` are required. Seqs belong to a store and are not exported: an imported
//! session is numbered from 1, without the gaps of removed messages.
//!
//! [`Export`] writes a store session by session. [`Import`] reads JSON Lines or one JSON array and
//! reports for each session whether it was imported or refused. A refused session does not stop the
//! import.
//!
//! ```
//! # use durable_session::{transfer, Message, ChatSessions, JsonObject};
//! # use durable_session_memory::MemoryStore;
//! # futures_executor::block_on(async {
//! # let (from, to) = (MemoryStore::new(), MemoryStore::new());
//! # let sessions = ChatSessions::<JsonObject>::builder(from.clone()).build();
//! # sessions.session("s-1".parse()?).add_message(Message::user("hi")).await?;
//! let mut file = String::new();
//! let mut export = transfer::Export::new(&from, &from);
//! while let Some(line) = export.next().await? {
//!     file.push_str(&line);
//!     file.push('\n');
//! }
//!
//! let options = transfer::ImportOptions::default();
//! let mut import = transfer::Import::new(&to, file.as_bytes(), options);
//! while let Some(outcome) = import.next().await {
//!     match outcome {
//!         Ok(session) => println!("{}: {} messages", session.position, session.counts.stored),
//!         Err(refused) => eprintln!("{refused}"),
//!     }
//! }
//! assert!(import.report().is_complete(), "{}", import.report());
//! # let copies = ChatSessions::<JsonObject>::builder(to.clone()).build();
//! # let copied = copies.session("s-1".parse()?).get_state().await?;
//! # assert_eq!(copied.messages, [Message::user("hi")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod error;
mod export;
mod import;
mod line;
mod many;
mod recognize;
mod record;
mod records;
mod salvage;
mod scan;
mod steps;
mod times;

pub use error::ImportError;
pub use export::{Export, export};
pub use import::{ImportCounts, ImportOptions, LastUse, import};
pub use many::{Import, ImportReport, ImportedSession, RefusedSession};
pub use recognize::recognize;
pub use record::{Position, ReadError, Record};
pub use records::{MAX_RECORD_BYTES, Records};
pub use salvage::{SalvageReport, salvage};
pub(crate) use times::whole_number;
pub use times::{EARLIEST_MS, FUTURE_MS, TimeError, TimeUnit};

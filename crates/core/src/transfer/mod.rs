//! Sessions as lines of JSON, from any store to any other, while both are in use.
//!
//! A line is `{"id":"…","state":{…}}`; the state has the messages, the app's fields and two times,
//! as clients see them. Seqs are the store's own and are not carried over: an imported session is
//! numbered from 1.
//!
//! [`Export`] writes a store session by session. [`Import`] reads JSON Lines or one JSON array and
//! says of each session whether it was taken, and why not; one that cannot be taken does not stop
//! the others.
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
//! let mut import = transfer::Import::new(&to, file.as_bytes(), transfer::ImportOptions::default());
//! while let Some(outcome) = import.next().await {
//!     match outcome {
//!         Ok(taken) => println!("{}: {} messages stored", taken.place, taken.imported.stored),
//!         Err(refused) => eprintln!("{refused}"),
//!     }
//! }
//! assert!(import.report().is_complete(), "{}", import.report());
//! # let copied = ChatSessions::<JsonObject>::builder(to.clone()).build().session("s-1".parse()?).get_state().await?;
//! # assert_eq!(copied.messages, [Message::user("hi")]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod export;
mod import;
mod many;
mod recognize;
mod records;
mod times;

pub use export::{Export, export};
pub use import::{ImportError, ImportOptions, Imported, LastUse, import};
pub use many::{Import, ImportReport, NotTaken, Taken};
pub use recognize::recognize;
pub use records::{MAX_RECORD_BYTES, Place, ReadError, Record, Records};
pub(crate) use times::whole_number;
pub use times::{EARLIEST_MS, FUTURE_MS, TimeError, TimeUnit};

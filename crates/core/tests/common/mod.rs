//! Helpers of tests, of which each test binary uses some.
#![allow(dead_code, unreachable_pub, unused_imports, missing_docs)]
#![allow(clippy::unwrap_used)]

pub mod conversations;

use durable_session::{Added, ChatSession, Error, Message, SessionId};
use tokio::task::JoinHandle;

pub use testkit::{Fault, ManualClock, Puppet};

pub fn id(text: &str) -> SessionId {
    SessionId::new(text).unwrap()
}

/// Lets the tasks of this runtime go on as far as they can.
pub async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

pub fn spawn_add(chat: &ChatSession, message: Message) -> JoinHandle<Result<Added, Error>> {
    let chat = chat.clone();
    tokio::spawn(async move { chat.add_message(message).await })
}

/// Runs it on a thread of its own: also from within the closure of a turn.
pub fn elsewhere<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work);
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// The text of each message.
pub fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|m| m.text().unwrap().into_owned()).collect()
}

//! Replies that the app's handler writes.

use durable_session::{
    Added, AppState, ChatSession, Draft, Error, Message, NewReply, Pulse, Reply, role,
};
use futures_core::future::BoxFuture;
use std::sync::Arc;

/// Decides which messages are answered by a reply, and how it begins.
pub(crate) type OpenReply<A> =
    Arc<dyn Fn(&mut Draft<'_, A>, &Added) -> Result<Option<NewReply>, Error> + Send + Sync>;

/// The app's handler, which writes a reply.
pub(crate) type WriteReply<A> = Arc<
    dyn Fn(ChatSession<A>, Added, Reply<A>) -> BoxFuture<'static, Result<(), Error>> + Send + Sync,
>;

/// Runs a future in a task of its own.
pub(crate) type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The setting for replies.
pub(crate) struct Replies<A> {
    pub(crate) open: OpenReply<A>,
    pub(crate) write: Option<WriteReply<A>>,
    pub(crate) spawn: Option<Spawn>,
    /// The most replies that are open in a session when another one is asked for.
    pub(crate) max_open: usize,
}

impl<A: AppState> Default for Replies<A> {
    fn default() -> Self {
        let spawn: Option<Spawn> = None;
        #[cfg(feature = "axum")]
        let spawn = spawn.or_else(|| Some(Arc::new(spawn_on_tokio)));
        Self { open: Arc::new(|_, posted| Ok(answer_to(posted))), write: None, spawn, max_open: 16 }
    }
}

/// Messages of users are answered.
fn answer_to(posted: &Added) -> Option<NewReply> {
    (posted.message.role() == role::USER).then(|| NewReply::new(Message::assistant("")))
}

#[cfg(feature = "axum")]
fn spawn_on_tokio(task: BoxFuture<'static, ()>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        drop(runtime.spawn(task));
    } else {
        // Dropping the task ends the reply as interrupted.
        tracing::error!("a reply cannot be written: no tokio runtime runs here");
    }
}

/// Writes a reply by the app's handler, and shows meanwhile that the producer is alive.
pub(crate) async fn produce<A: AppState>(
    write: WriteReply<A>,
    chat: ChatSession<A>,
    posted: Added,
    reply: Reply<A>,
) {
    let id = chat.id().clone();
    let pulse = reply.pulse();
    let written = write(chat, posted, reply);
    match beside(written, pulse).await {
        // It was stopped or removed: the handler need not catch that.
        Ok(()) | Err(Error::ReplyEnded { .. }) => {}
        // The app's own text may be a user's.
        Err(Error::Rejected(_)) => {
            tracing::error!(session = %id.fingerprint(), "the handler of a reply failed");
        }
        Err(e) => crate::wire::errors::log(&id, &e),
    }
}

/// Runs the handler, with beats beside it.
#[cfg(feature = "axum")]
async fn beside<T>(written: BoxFuture<'static, T>, pulse: Option<Pulse>) -> T {
    let Some(pulse) = pulse.filter(|_| tokio::runtime::Handle::try_current().is_ok()) else {
        return written.await;
    };
    let beats = async {
        loop {
            tokio::time::sleep(pulse.every()).await;
            // After a failure the next beat may succeed, or the handler meets the same failure.
            let _ = pulse.beat().await;
        }
    };
    tokio::select! {
        written = written => written,
        never = beats => never,
    }
}

/// Without timers the handler has to beat itself, if its store is shared.
#[cfg(not(feature = "axum"))]
async fn beside<T>(written: BoxFuture<'static, T>, _: Option<Pulse>) -> T {
    written.await
}

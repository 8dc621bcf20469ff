//! Store calls as futures.

use crate::SessionId;
use crate::session::actor::AnswerFuture;
use crate::session::closing::make_close;
use crate::session::machine::{Answer, Done, StoreCall};
use crate::store::{LoadQuery, SessionStore};
use crate::sync::Arc;

/// The store's work on a call, not yet polled. It calls the store itself: `Arc` is a store, too,
/// and would box each future once more.
pub(super) fn send(store: Arc<dyn SessionStore>, id: SessionId, call: StoreCall) -> AnswerFuture {
    match call {
        StoreCall::Load(tail) => Box::pin(async move {
            let outcome = (*store).load(&id, LoadQuery::new(tail)).await;
            Answer::Main(outcome.map(|outcome| Done::Loaded(outcome.loaded().map(Box::new))))
        }),
        StoreCall::Commit(commit, _) => Box::pin(async move {
            Answer::Main((*store).commit(&id, commit).await.map(Done::Committed))
        }),
        StoreCall::Delete(condition) => Box::pin(async move {
            Answer::Main((*store).delete(&id, condition).await.map(Done::Deleted))
        }),
        StoreCall::Ask(query) => {
            Box::pin(async move { Answer::Asked((*store).load(&id, query).await.map(Box::new)) })
        }
        StoreCall::Touch(at) => {
            Box::pin(async move { Answer::Touched((*store).touch(&id, at).await) })
        }
        StoreCall::Extend(extension) => Box::pin(async move {
            let seq = extension.seq;
            Answer::Extended(seq, (*store).extend(&id, extension).await)
        }),
        StoreCall::Make(make) => Box::pin(async move {
            let close = make_close(&*store, &id, &make).await;
            Answer::Made(make.seq, close.map(|close| close.map(Box::new)))
        }),
    }
}

//! Opening a reply, and finding the one that an earlier call opened.

use super::follow::Follow;
use super::new::NewReply;
use super::writing::Reply;
use crate::app::AppState;
use crate::error::Error;
use crate::reply::ReplyFormat;
use crate::session::call::Drafted;
use crate::session::draft::Draft;
use crate::session::machine::{Change, Found, Halt, Planner, StoredMessage, View};
use crate::session::whole::Whole;
use crate::store::{Claim, ReplyOpening};
use crate::sync;
use crate::{JsonObject, Message};
use std::sync::Arc;

/// The answer of [`ChatSession::reply`](crate::ChatSession::reply).
#[derive(Debug)]
#[non_exhaustive]
pub enum Opened<A = JsonObject> {
    /// The reply is open, and this caller writes it.
    New(Reply<A>),
    /// An earlier call has opened it, and its producer is still writing it: this call changed
    /// nothing.
    Running(Follow),
    /// An earlier call has opened it, and it has ended: this call changed nothing. This is its
    /// message.
    Ended(StoredMessage),
}

/// The decision of a plan.
pub(super) enum Plan {
    /// The reply is opened on the message at this seq.
    Open { seq: u64, message: Message, format: Arc<dyn ReplyFormat> },
    /// The message at this seq has the reply's id, or is being written.
    Known { seq: u64 },
}

/// Plans the opening of a reply as the closure `open` asks for it.
///
/// If the reply is known and the closure adds and edits nothing, the call is a retry. It was made
/// whole before, so nothing of it is made again.
pub(super) fn plan<A: AppState, R: Into<NewReply>>(
    planner: Planner<'_>,
    view: sync::Arc<View>,
    whole: Option<&Whole>,
    claim: Claim,
    open: &mut impl FnMut(&mut Draft<'_, A>) -> Result<R, Error>,
) -> Drafted<Plan> {
    let before = view.clone();
    let mut draft = Draft::new(planner, view, whole);
    let new: NewReply = match open(&mut draft) {
        Ok(new) => new.into(),
        Err(e) => return Err(draft.failed(e)),
    };
    let added = draft.last_added().cloned();
    let (mut changes, mut after) = draft.finish()?;

    if let Some(seq) = new.reopens
        && before.reply(seq).is_some()
    {
        return Ok((Plan::Known { seq }, Vec::new(), before));
    }
    let message = with_id(&new, added, &after)?;
    if new.reopens.is_none()
        && let Some(id) = message.id()
        && let Some(seq) = find(planner, &before, &id)?
    {
        if !changes.iter().any(|change| change.message().is_some()) {
            return Ok((Plan::Known { seq }, Vec::new(), before));
        }
        if find(planner, &after, &id)?.is_some() {
            return Err(planner.id_reused(seq));
        }
    }
    let format = match &new.format {
        Some(name) => planner.config.replies.get(name),
        None => planner.config.replies.standard(),
    };
    let format = format.ok_or_else(|| Error::UnknownFormat {
        session: planner.id.clone(),
        format: new.format.as_deref().unwrap_or_default().into(),
    })?;
    let message = format
        .open(message)
        .map_err(|source| Error::Format { session: planner.id.clone(), source: source.into() })?;
    let opening = ReplyOpening::new(claim, format.name());
    let (seq, opened) = planner.open(&after, new.reopens, &message, opening)?;
    sync::Arc::make_mut(&mut after).apply_all(&opened);
    changes.extend::<Vec<Change>>(opened);
    Ok((Plan::Open { seq, message, format }, changes, after))
}

/// The message with its id, which is derived from the id of the message that it answers.
fn with_id(new: &NewReply, added: Option<Message>, after: &View) -> Result<Message, Halt> {
    let message = new.message.clone();
    if new.reopens.is_some() || message.id().is_some() {
        return Ok(message);
    }
    let answered = match (&new.to, added) {
        (Some(id), _) => Some(id.clone()),
        (None, Some(added)) => added.id().map(std::borrow::Cow::into_owned),
        (None, None) => match after.last() {
            Some((_, last)) => last.id().map(std::borrow::Cow::into_owned),
            None if after.is_whole() => None,
            None => return Err(Halt::Deeper),
        },
    };
    Ok(match answered {
        Some(id) => message.with_id(format!("reply-{}-to-{id}", new.attempt)),
        None => message,
    })
}

/// The seq of the message with this id among the last ones.
fn find(planner: Planner<'_>, view: &View, id: &str) -> Result<Option<u64>, Halt> {
    if !view.exact {
        return Err(Halt::Deeper);
    }
    match view.find(id, planner.fetched) {
        Found::Message(seq, _) => Ok(Some(seq)),
        Found::Perhaps(seq) => Err(Halt::Fetch(vec![seq])),
        Found::Not => Ok(None),
    }
}

//! Parses one line of an export.

use super::ImportError;
use super::recognize;
use super::times;
use crate::json::JsonObject;
use crate::store::{Labels, ReplyOpening, StoreError, StoreErrorKind, StoreLimits};
use crate::{Message, SessionId};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A session to import.
pub(super) struct Line {
    pub(super) id: SessionId,
    pub(super) labels: Labels,
    pub(super) messages: Vec<Message>,
    /// The open replies by the number of their message in `messages`, from 1, which is its seq once
    /// imported.
    pub(super) replies: BTreeMap<u64, LineReply>,
    pub(super) app: String,
    pub(super) created_at: u64,
    pub(super) last_accessed_at: u64,
    /// `None` in lines that no export wrote.
    pub(super) changed_at: Option<u64>,
}

/// An open reply in the line.
pub(super) struct LineReply {
    pub(super) format: Arc<str>,
    pub(super) chunks: Vec<Bytes>,
}

impl LineReply {
    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

fn invalid(reason: impl Into<Box<str>>) -> ImportError {
    ImportError::NotASession(reason.into())
}

impl Line {
    pub(super) fn parse(text: &str, now: u64) -> Result<Self, ImportError> {
        let text = text.trim_start_matches('\u{feff}');
        // The parts are checked one by one, because the limit of nesting applies to each message by
        // itself.
        serde_json::from_str::<&RawValue>(text)
            .map_err(|e| invalid(format!("it is not JSON: {}", crate::json::JsonError::from(e))))?;
        let shape = |missing: &str| {
            let of = recognize(text).map_or_else(String::new, |shape| format!("; it is {shape}"));
            invalid(format!("{missing}{of}"))
        };
        let outer = JsonObject::parse_stored(text).map_err(|_| shape("it is not a JSON object"))?;
        let (Some(id), Some(state)) = (outer.get_json("id"), outer.get_json("state")) else {
            return Err(shape("it is not an object with `id` and `state`"));
        };
        let id: String =
            serde_json::from_str(id).map_err(|_| invalid("its `id` is not a string"))?;
        let id = SessionId::new(id).map_err(|e| invalid(e.to_string()))?;
        let mut app =
            JsonObject::parse_stored(state).map_err(|_| invalid("its `state` is not an object"))?;
        let field = |name: &str| {
            app.get_json(name).ok_or_else(|| invalid(format!("its state has no `{name}`")))
        };
        let created_at = times::plausible("createdAt", field("createdAt")?, now)?;
        let last_accessed_at = times::plausible("lastAccessedAt", field("lastAccessedAt")?, now)?;
        let changed_at = match outer.get_json("changedAt") {
            Some(time) => Some(times::plausible("changedAt", time, now)?),
            None => None,
        };
        let messages = messages(field("messages")?)?;
        for own in ["messages", "createdAt", "lastAccessedAt"] {
            app.remove(own);
        }
        let app = app.to_string();
        crate::json::check(&app).map_err(|e| invalid(format!("its `state` is not valid: {e}")))?;
        let labels = outer.get_json("labels").map_or(Ok(Labels::NONE), labels)?;
        let replies = match outer.get_json("replies") {
            Some(list) => replies(list, messages.len() as u64)?,
            None => BTreeMap::new(),
        };
        Ok(Self { id, labels, messages, replies, app, created_at, last_accessed_at, changed_at })
    }

    /// Checks the session against the limits of the store, before anything is stored.
    pub(super) fn check(&self, limits: &StoreLimits) -> Result<(), StoreError> {
        let max_body = limits.max_body_bytes.min(limits.max_commit_bytes);
        for (message, number) in self.messages.iter().zip(1u64..) {
            within(format_args!("message {number}"), message.bytes() as u64, max_body)?;
        }
        let max_app = limits.max_app_bytes.min(limits.max_commit_bytes);
        within(format_args!("app state"), self.app.len() as u64, max_app)?;
        let bytes = |label: Option<&str>| label.map_or(0, str::len) as u64;
        let (owner, title) = (self.labels.get_owner(), self.labels.get_title());
        within(format_args!("owner"), bytes(owner), Labels::MAX_OWNER_BYTES as u64)?;
        within(format_args!("title"), bytes(title), Labels::MAX_TITLE_BYTES as u64)?;
        for (number, reply) in &self.replies {
            let format = reply.format.len() as u64;
            let max_format = ReplyOpening::MAX_FORMAT_BYTES as u64;
            within(
                format_args!("name of the format of the reply at message {number}"),
                format,
                max_format,
            )?;
            for (chunk, offset) in reply.chunks.iter().zip(0u64..) {
                let subject = format_args!("chunk {offset} of the reply at message {number}");
                within(subject, chunk.len() as u64, limits.max_commit_bytes)?;
            }
            limits.check_reply(&self.id, self.body_bytes(*number) + reply.bytes())?;
        }
        Ok(())
    }

    fn body_bytes(&self, number: u64) -> u64 {
        self.message(number).map_or(0, |message| message.bytes() as u64)
    }

    /// The message with this number, from 1.
    pub(super) fn message(&self, number: u64) -> Option<&Message> {
        self.messages.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }
}

fn within(subject: fmt::Arguments<'_>, bytes: u64, max: u64) -> Result<(), StoreError> {
    if bytes <= max {
        return Ok(());
    }
    let context = format!("{subject} is {bytes} bytes; the limit is {max}");
    Err(StoreError::new(StoreErrorKind::TooLarge, context))
}

fn messages(list: &str) -> Result<Vec<Message>, ImportError> {
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| invalid("its `messages` are not an array"))?;
    let message = |(raw, number): (&RawValue, u64)| {
        Message::from_json(raw.get()).map_err(|e| invalid(format!("message {number}: {e}")))
    };
    list.into_iter().zip(1..).map(message).collect()
}

fn labels(object: &str) -> Result<Labels, ImportError> {
    let object =
        JsonObject::parse_stored(object).map_err(|_| invalid("its `labels` are not an object"))?;
    if object.iter().any(|(key, _)| !matches!(key, "owner" | "title")) {
        return Err(invalid("its `labels` have a key other than `owner` and `title`"));
    }
    let label = |name: &str| {
        let label = object.get::<Option<String>>(name).map(Option::flatten);
        label
            .map(Option::unwrap_or_default)
            .map_err(|_| invalid(format!("its label `{name}` is not a string")))
    };
    Ok(Labels::owner(label("owner")?).title(label("title")?))
}

fn replies(list: &str, messages: u64) -> Result<BTreeMap<u64, LineReply>, ImportError> {
    let list: Vec<&RawValue> =
        serde_json::from_str(list).map_err(|_| invalid("its `replies` are not an array"))?;
    let mut replies = BTreeMap::new();
    for (raw, n) in list.into_iter().zip(1u64..) {
        let invalid = |reason: &str| invalid(format!("reply {n}: {reason}"));
        let object =
            JsonObject::parse_stored(raw.get()).map_err(|_| invalid("it is not an object"))?;
        let field = |name: &str| {
            object.get_json(name).ok_or_else(|| invalid(&format!("it has no `{name}`")))
        };
        let seq = field("seq")?.parse().ok().filter(|seq| (1..=messages).contains(seq));
        let seq: u64 = seq.ok_or_else(|| {
            invalid("its `seq` is not the number of a message in `messages`, from 1")
        })?;
        let format: String = serde_json::from_str(field("format")?)
            .map_err(|_| invalid("its `format` is not a string"))?;
        let chunks: Vec<&RawValue> = serde_json::from_str(field("chunks")?)
            .map_err(|_| invalid("its `chunks` are not an array"))?;
        let chunk = |(raw, offset): (&RawValue, u64)| match crate::json::check(raw.get()) {
            Ok(()) => Ok(Bytes::copy_from_slice(raw.get().as_bytes())),
            Err(e) => Err(invalid(&format!("chunk {offset}: {e}"))),
        };
        let chunks = chunks.into_iter().zip(0..).map(chunk).collect::<Result<_, _>>()?;
        if replies.insert(seq, LineReply { format: format.into(), chunks }).is_some() {
            return Err(invalid("an earlier reply has the same `seq`"));
        }
    }
    Ok(replies)
}

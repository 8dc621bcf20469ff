//! The commands that tests give to an object.

use crate::factory::InObject;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::{Random, RandomError};
use durable_session::store::{
    ChunkQuery, Claim, Commit, CommitOutcome, DeleteIf, Expect, Extension, Labels, LoadOutcome,
    LoadQuery, NewMessage, Op, OpenReply, ReadQuery, ReplyCounts, ReplyOpening, SessionStore,
    StoreError, Tagged, TailBounds,
};
use durable_session_cloudflare::{DurableObjectStore, WorkerRandom};
use durable_session_conformance::{Outcome, cases};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use worker::{SqlStorageValue, State};

/// The claim under which these commands open and extend replies.
const CLAIM: Claim = Claim::from_bytes([7; 32]);

pub(crate) type Answer = Result<Value, Box<dyn Error>>;

/// An object's storage and a store over it.
pub(crate) struct Probe {
    state: Rc<State>,
    store: DurableObjectStore,
    /// Names this instance in memory: after an eviction there is another one with another name.
    instance: String,
}

impl Probe {
    pub(crate) fn new(state: State) -> Self {
        let store = DurableObjectStore::new(state.storage());
        let mut random = [0; 8];
        let drawn = WorkerRandom.fill(&mut random);
        Self { state: Rc::new(state), store, instance: format!("{drawn:?} {random:?}") }
    }

    pub(crate) async fn run(&self, command: &str, body: &Value) -> Answer {
        match command {
            "cases" => Ok(list_cases()),
            "case" => self.case(text(body, "name")?).await,
            "commit" => self.commit(&self.store, body).await,
            "commit-with-panicking-randomness" => {
                self.commit(
                    &DurableObjectStore::with_random(self.state.storage(), Arc::new(Panics)),
                    body,
                )
                .await
            }
            "extend" => self.extend(body).await,
            "chunks" => self.chunks(body).await,
            "load" => self.load(body).await,
            "salvage" => self.salvage(body).await,
            "delete" => {
                let outcome = self.store.delete(&id(body)?, DeleteIf::Any).await?;
                Ok(json!({ "outcome": format!("{outcome:?}") }))
            }
            "take-over" => self.take_over(body).await,
            "restored" => Ok(json!({ "restored": self.store.restored().is_ok() })),
            "dropped" => crate::dropped::run(&self.state, body).await,
            "purge" => Ok(json!({ "done": self.store.purge_if_empty().await? })),
            "instance" => Ok(json!({ "instance": self.instance })),
            "sql" => self.sql(text(body, "statement")?),
            "panic" => panic_now(),
            "sleep" => {
                worker::Delay::from(std::time::Duration::from_millis(number(body, "ms")?)).await;
                Ok(json!({ "slept": true }))
            }
            unknown => Err(format!("unknown command {unknown}").into()),
        }
    }

    async fn case(&self, name: &str) -> Answer {
        let case = cases().iter().find(|case| case.name() == name).ok_or("no such case")?;
        let (outcome, detail) = match case.run(&InObject(self.state.clone())).await {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Failed(failure) => ("failed", failure.to_string()),
            Outcome::NotApplicable(needs) => ("not applicable", format!("needs {needs:?}")),
        };
        Ok(json!({ "outcome": outcome, "detail": detail }))
    }

    /// Appends `append` (an array of texts), opens a reply with the text `open`, closes the reply
    /// in `close` (seq, chunks, beats, text), removes the message `remove`, and sets labels and app
    /// state. It expects the stored version.
    async fn commit(&self, store: &DurableObjectStore, body: &Value) -> Answer {
        let id = id(body)?;
        let expect = match self.store.load(&id, LoadQuery::new(TailBounds::new(1, 1))).await {
            Ok(LoadOutcome::Loaded(loaded)) => loaded.head.expect(),
            Ok(_) => Expect::absent(1),
            Err(e) => return Ok(error(&e)),
        };
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let opening = |message: NewMessage| message.opening(ReplyOpening::new(CLAIM, "text"));
        let texts = body["append"].as_array().cloned().unwrap_or_default();
        let mut ops: Vec<Op> =
            texts.iter().filter_map(Value::as_str).map(|text| Op::append(bytes(text))).collect();
        if let Some(bytes) = body["appendBytes"].as_u64() {
            ops.push(Op::append(Bytes::from(vec![b'x'; usize::try_from(bytes)?])));
        }
        ops.extend(
            body["open"].as_str().map(|text| Op::Append(opening(NewMessage::plain(bytes(text))))),
        );
        if body["close"].is_object() {
            let close = &body["close"];
            ops.push(Op::Close {
                seq: number(close, "seq")?,
                claim: CLAIM,
                counts: ReplyCounts {
                    chunks: number(close, "chunks")?,
                    beats: number(close, "beats")?,
                },
                message: NewMessage::plain(bytes(text(close, "text")?)),
            });
        }
        ops.extend(body["remove"].as_u64().map(|seq| Op::Remove { first: seq, last: seq }));
        ops.extend(body["owner"].as_str().map(|owner| Op::SetLabels(Labels::owner(owner))));
        ops.extend(body["app"].as_str().map(|app| Op::SetApp(bytes(app))));
        let before = store.rows_written();
        let outcome = store.commit(&id, Commit::new(expect, ops, 2)).await;
        let written = store.rows_written() - before;
        Ok(match outcome {
            Ok(CommitOutcome::Committed(head)) => {
                json!({ "messages": head.messages, "bytes": head.bytes, "rowsWritten": written })
            }
            Ok(other) => json!({ "refused": format!("{other:?}") }),
            Err(e) => error(&e),
        })
    }

    /// Extends the reply at `seq` with `chunks` at `offset`; without chunks it is a beat.
    async fn extend(&self, body: &Value) -> Answer {
        let chunks = body["chunks"].as_array().cloned().unwrap_or_default();
        let chunks = chunks
            .iter()
            .filter_map(Value::as_str)
            .map(|text| Bytes::from(text.to_owned()))
            .collect();
        let extension = Extension::new(
            number(body, "seq")?,
            CLAIM,
            body["offset"].as_u64().unwrap_or_default(),
            chunks,
        );
        let before = self.store.rows_written();
        let outcome = self.store.extend(&id(body)?, extension).await;
        let written = self.store.rows_written() - before;
        Ok(match outcome {
            Ok(outcome) => json!({ "outcome": format!("{outcome:?}"), "rowsWritten": written }),
            Err(e) => error(&e),
        })
    }

    /// Reads the chunks of the reply at `seq` from `offset` on, at most `max`.
    async fn chunks(&self, body: &Value) -> Answer {
        let max = usize::try_from(body["max"].as_u64().unwrap_or(1 << 20))?;
        let query = ChunkQuery::from(number(body, "seq")?, number(body, "offset")?).max_chunks(max);
        Ok(match self.store.read_chunks(&id(body)?, query).await {
            Ok(None) => Value::Null,
            Ok(Some(page)) => json!({
                "chunks": page.chunks.iter().map(utf8).collect::<Vec<_>>(),
                "more": page.more,
                "has": page.reply.counts.chunks,
            }),
            Err(e) => error(&e),
        })
    }

    async fn take_over(&self, body: &Value) -> Answer {
        let store = DurableObjectStore::new(self.state.storage()).succeeding(id(body)?);
        Ok(match store.load(&id(body)?, LoadQuery::new(TailBounds::new(1, 1))).await {
            Ok(_) => json!({ "done": store.rows_written() > 0 }),
            Err(e) => error(&e),
        })
    }

    /// Loads the whole session, or its last `last` messages.
    async fn load(&self, body: &Value) -> Answer {
        let last = usize::try_from(body["last"].as_u64().unwrap_or(1 << 20))?;
        let query = LoadQuery::new(TailBounds::new(last, 1 << 30));
        Ok(match self.store.load(&id(body)?, query).await {
            Ok(outcome) => outcome.loaded().map_or(Value::Null, |loaded| {
                json!({
                    "version": loaded.head.version.to_string(),
                    "messages": loaded.head.messages,
                    "bytes": loaded.head.bytes,
                    "createdAt": loaded.head.created_at,
                    "lastAccessedAt": loaded.head.last_accessed_at,
                    "app": utf8(&loaded.app),
                    "tail": loaded.tail.iter().map(|row| utf8(&row.body)).collect::<Vec<_>>(),
                    "tags": loaded.tags.iter().map(tag).collect::<Vec<_>>(),
                    "replies": loaded.replies.iter().map(reply).collect::<Vec<_>>(),
                })
            }),
            Err(e) => error(&e),
        })
    }

    async fn salvage(&self, body: &Value) -> Answer {
        let query = ReadQuery::forward(0, u64::MAX);
        Ok(match self.store.salvage(&id(body)?, query).await? {
            None => Value::Null,
            Some(salvaged) => json!({
                "seqs": salvaged.rows.iter().map(|row| row.seq).collect::<Vec<_>>(),
                "damaged": salvaged.damage.iter().map(|damage| damage.seq).collect::<Vec<_>>(),
                "head": salvaged.head.is_some(),
            }),
        })
    }

    fn sql(&self, statement: &str) -> Answer {
        let rows: Vec<_> =
            self.state.storage().sql().exec(statement, None)?.raw().collect::<Result<_, _>>()?;
        Ok(rows.into_iter().map(|row| row.into_iter().map(value).collect::<Value>()).collect())
    }
}

fn list_cases() -> Value {
    cases()
        .iter()
        .map(|case| {
            let clauses: Vec<_> = case.clauses().iter().map(ToString::to_string).collect();
            json!({ "name": case.name(), "clauses": clauses })
        })
        .collect()
}

fn utf8(bytes: &Bytes) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn tag(tagged: &Tagged) -> Value {
    json!([tagged.seq, tagged.tag.to_bits().to_string()])
}

fn reply(reply: &OpenReply) -> Value {
    let OpenReply { seq, counts, bytes, .. } = reply;
    json!({ "seq": seq, "chunks": counts.chunks, "beats": counts.beats, "bytes": bytes })
}

fn value(value: SqlStorageValue) -> Value {
    match value {
        SqlStorageValue::Null => Value::Null,
        SqlStorageValue::Boolean(value) => value.into(),
        SqlStorageValue::Integer(value) => value.into(),
        SqlStorageValue::Float(value) => value.into(),
        SqlStorageValue::String(value) => value.into(),
        SqlStorageValue::Blob(bytes) => json!({ "blob": bytes.len() }),
    }
}

fn error(error: &StoreError) -> Value {
    let sources: Vec<_> = std::iter::successors(error.source(), |e| Error::source(*e))
        .map(ToString::to_string)
        .collect();
    json!({
        "error": format!("{:?}", error.kind()),
        "seq": error.seq(),
        "chunk": error.chunk(),
        "text": error.to_string(),
        "sources": sources,
    })
}

pub(crate) fn id(body: &Value) -> Result<SessionId, Box<dyn Error>> {
    Ok(SessionId::new(body["session"].as_str().unwrap_or("s"))?)
}

pub(crate) fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, Box<dyn Error>> {
    body[field].as_str().ok_or_else(|| format!("the command needs {field}").into())
}

pub(crate) fn number(body: &Value, field: &str) -> Result<u64, Box<dyn Error>> {
    body[field].as_u64().ok_or_else(|| format!("the command needs {field}").into())
}

#[allow(clippy::panic)]
fn panic_now() -> Answer {
    panic!("a test asked for a panic")
}

/// Panics in the middle of the commit that creates a session.
struct Panics;

impl Random for Panics {
    #[allow(clippy::panic)]
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        panic!("a test asked for a panic inside a transaction")
    }
}

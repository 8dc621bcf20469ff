//! The commands that tests give to an object.

use crate::factory::InObject;
use bytes::Bytes;
use durable_session::SessionId;
use durable_session::env::{Random, RandomError};
use durable_session::store::{
    Commit, CommitOutcome, DeleteIf, Expect, Op, Order, ReadQuery, SessionStore, StoreError, TailBounds,
};
use durable_session_cloudflare::{DurableObjectStore, WorkerRandom};
use durable_session_conformance::{Outcome, cases};
use serde_json::{Value, json};
use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use worker::{SqlStorageValue, State};

pub(crate) type Answer = Result<Value, Box<dyn Error>>;

/// An object's storage and a store over it.
pub(crate) struct Probe {
    state: Rc<State>,
    store: DurableObjectStore,
    /// Names this instance in memory, which another one after an eviction is not.
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
                self.commit(&DurableObjectStore::with_random(self.state.storage(), Arc::new(Panics)), body)
                    .await
            }
            "load" => self.load(body).await,
            "salvage" => self.salvage(body).await,
            "delete" => {
                let outcome = self.store.delete(&id(body)?, DeleteIf::Any).await?;
                Ok(json!({ "outcome": format!("{outcome:?}") }))
            }
            "take-over" => self.take_over(body).await,
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

    /// Appends `append` (an array of texts) and sets the app state to `app`, whatever the version is.
    async fn commit(&self, store: &DurableObjectStore, body: &Value) -> Answer {
        let id = id(body)?;
        let tail = TailBounds { max_messages: 1, max_bytes: 1 };
        let expect = match self.store.load(&id, tail).await {
            Ok(Some(loaded)) => Expect::Version(loaded.head.version),
            Ok(None) => Expect::Absent { created_at: 1 },
            Err(e) => return Ok(error(&e)),
        };
        let texts = body["append"].as_array().cloned().unwrap_or_default();
        let mut ops: Vec<Op> = texts
            .iter()
            .filter_map(Value::as_str)
            .map(|text| Op::Append(Bytes::copy_from_slice(text.as_bytes())))
            .collect();
        if let Some(bytes) = body["appendBytes"].as_u64() {
            ops.push(Op::Append(Bytes::from(vec![b'x'; usize::try_from(bytes)?])));
        }
        ops.extend(body["app"].as_str().map(|app| Op::SetApp(Bytes::copy_from_slice(app.as_bytes()))));
        let before = store.rows_written();
        let outcome = store.commit(&id, Commit { expect, ops, at: 2 }).await;
        let written = store.rows_written() - before;
        Ok(match outcome {
            Ok(CommitOutcome::Committed(head)) => {
                json!({ "messages": head.messages, "bytes": head.bytes, "rowsWritten": written })
            }
            Ok(other) => json!({ "refused": format!("{other:?}") }),
            Err(e) => error(&e),
        })
    }

    async fn take_over(&self, body: &Value) -> Answer {
        let store = DurableObjectStore::new(self.state.storage()).succeeding(id(body)?);
        Ok(match store.load(&id(body)?, TailBounds { max_messages: 1, max_bytes: 1 }).await {
            Ok(_) => json!({ "done": store.rows_written() > 0 }),
            Err(e) => error(&e),
        })
    }

    async fn load(&self, body: &Value) -> Answer {
        let tail = TailBounds { max_messages: 1 << 20, max_bytes: 1 << 30 };
        Ok(match self.store.load(&id(body)?, tail).await {
            Ok(None) => Value::Null,
            Ok(Some(loaded)) => json!({
                "messages": loaded.head.messages,
                "bytes": loaded.head.bytes,
                "createdAt": loaded.head.created_at,
                "lastAccessedAt": loaded.head.last_accessed_at,
                "app": String::from_utf8_lossy(&loaded.app),
                "tail": loaded.tail.iter().map(|row| String::from_utf8_lossy(&row.body)).collect::<Vec<_>>(),
            }),
            Err(e) => error(&e),
        })
    }

    async fn salvage(&self, body: &Value) -> Answer {
        let query = ReadQuery {
            first: 0,
            last: u64::MAX,
            order: Order::Forward,
            max_messages: 1 << 20,
            max_bytes: 1 << 30,
        };
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
    let sources: Vec<_> =
        std::iter::successors(error.source(), |e| Error::source(*e)).map(ToString::to_string).collect();
    json!({ "error": format!("{:?}", error.kind()), "seq": error.seq(), "text": error.to_string(), "sources": sources })
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

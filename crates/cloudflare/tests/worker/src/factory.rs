//! The conformance suite's way to the store: the storage of the object that a case runs in.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_cloudflare::DurableObjectStore;
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use std::rc::Rc;
use std::sync::Arc;
use worker::{SqlStorageValue, State};

/// One store per object, so every case runs in an object of its own.
pub(crate) struct InObject(pub(crate) Rc<State>);

#[async_trait(?Send)]
impl Factory for InObject {
    fn name(&self) -> &'static str {
        "durable object"
    }

    fn capabilities(&self) -> &'static [Capability] {
        &[
            Capability::Reopen,
            Capability::Corrupt,
            Capability::List,
            Capability::AcceptsOnFirstPoll,
            Capability::ReachableLimits,
        ]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        // A rerun over kept files finds what the last run left.
        self.0.storage().delete_all().await?;
        Ok(Box::new(Opened { state: self.0.clone(), store: open(&self.0) }))
    }
}

fn open(state: &State) -> Arc<DurableObjectStore> {
    Arc::new(DurableObjectStore::new(state.storage()))
}

struct Opened {
    state: Rc<State>,
    store: Arc<DurableObjectStore>,
}

impl Opened {
    /// Flips a bit in the middle of a stored row, found by the layout's own tables.
    fn damage(&self, table: &str, id: &SessionId, and: &str) -> Result<(), BoxError> {
        let sql = self.state.storage().sql();
        let one = |statement: &str, values: Vec<SqlStorageValue>| {
            sql.exec(statement, values)?.raw().next().transpose()
        };
        let number = match one(
            "SELECT row FROM durable_session_numbers WHERE id = ?",
            vec![SqlStorageValue::from(id.as_str())],
        )? {
            Some(row) => match row.as_slice() {
                [SqlStorageValue::Blob(row)] => durable_session::rows::decode_number(id, row)?,
                _ => return Err("the number is no BLOB".into()),
            },
            None => return Err(format!("there is no session {}", id.as_str()).into()),
        };
        let number = SqlStorageValue::Integer(i64::try_from(number)?);
        let found = one(&format!("SELECT row FROM {table} WHERE n = ? AND {and}"), vec![number.clone()])?;
        let Some([SqlStorageValue::Blob(row)]) = found.as_deref() else {
            return Err(format!("{table} has no such row").into());
        };
        let mut row = row.clone();
        let middle = row.len() / 2;
        row[middle] ^= 1;
        one(&format!("UPDATE {table} SET row = ? WHERE n = ? AND {and}"), vec![row.into(), number])?;
        Ok(())
    }
}

#[async_trait(?Send)]
impl Instance for Opened {
    fn store(&self) -> Arc<dyn SessionStore> {
        self.store.clone()
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(self.store.clone())
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.store = open(&self.state);
        Ok(())
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        self.damage("durable_session_messages", id, &format!("seq = {seq}"))
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        self.damage("durable_session_heads", id, "1")
    }
}

//! Gives the conformance suite the store: over the storage of the object in which a case runs.

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_cloudflare::DurableObjectStore;
use durable_session_conformance::{BoxError, Capability, Factory, Instance};
use std::rc::Rc;
use std::sync::Arc;
use worker::{SqlStorageValue, State};

type Rows = Vec<Vec<SqlStorageValue>>;

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
            Capability::Misplace,
            Capability::Backup,
            Capability::List,
            Capability::AcceptsOnFirstPoll,
            Capability::ReachableLimits,
        ]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        // With kept files, the storage still has the last run's sessions.
        self.0.storage().delete_all().await?;
        Ok(Box::new(Opened { state: self.0.clone(), store: open(&self.0), copy: None }))
    }
}

fn open(state: &State) -> Arc<DurableObjectStore> {
    Arc::new(DurableObjectStore::new(state.storage()))
}

struct Opened {
    state: Rc<State>,
    store: Arc<DurableObjectStore>,
    copy: Option<Vec<Table>>,
}

/// A table of a copy of the storage.
struct Table {
    name: String,
    create: String,
    rows: Rows,
}

impl Opened {
    fn sql(&self, statement: &str, values: Vec<SqlStorageValue>) -> Result<Rows, BoxError> {
        Ok(self.state.storage().sql().exec(statement, values)?.raw().collect::<Result<_, _>>()?)
    }

    /// The session's number, by the layout's own tables.
    fn number(&self, id: &SessionId) -> Result<SqlStorageValue, BoxError> {
        let rows = self.sql(
            "SELECT row FROM durable_session_numbers WHERE id = ?",
            vec![SqlStorageValue::from(id.as_str())],
        )?;
        match rows.first().map(Vec::as_slice) {
            Some([SqlStorageValue::Blob(row)]) => {
                let number = durable_session::rows::decode_number(id, row)?;
                Ok(SqlStorageValue::Integer(i64::try_from(number)?))
            }
            _ => Err(format!("there is no session {}", id.fingerprint()).into()),
        }
    }

    /// Flips a bit in the middle of a stored row.
    fn damage(&self, table: &str, id: &SessionId, and: &str) -> Result<(), BoxError> {
        let number = self.number(id)?;
        let found = self
            .sql(&format!("SELECT row FROM {table} WHERE n = ? AND {and}"), vec![number.clone()])?;
        let Some([SqlStorageValue::Blob(row)]) = found.first().map(Vec::as_slice) else {
            return Err(format!("{table} has no such row").into());
        };
        let mut row = row.clone();
        let middle = row.len() / 2;
        row[middle] ^= 1;
        self.sql(
            &format!("UPDATE {table} SET row = ? WHERE n = ? AND {and}"),
            vec![row.into(), number],
        )?;
        Ok(())
    }

    /// The offset of the first chunk in the row that holds the chunk at `offset`.
    fn row_with_chunk(&self, id: &SessionId, seq: u64, offset: u64) -> Result<u64, BoxError> {
        let number = self.number(id)?;
        let statement = format!(
            "SELECT offset, row FROM durable_session_chunks WHERE n = ? AND seq = {seq} \
             AND offset <= {offset} ORDER BY offset DESC LIMIT 1"
        );
        let found = self.sql(&statement, vec![number.clone()])?;
        let (
            Some([SqlStorageValue::Integer(first), SqlStorageValue::Blob(row)]),
            SqlStorageValue::Integer(n),
        ) = (found.first().map(Vec::as_slice), number)
        else {
            return Err("there is no such chunk".into());
        };
        let (first, row) = (u64::try_from(*first)?, row.clone().into());
        let row = durable_session::rows::decode_chunks(id, u64::try_from(n)?, seq, first, &row)?;
        if row.end() > offset { Ok(first) } else { Err("there is no such chunk".into()) }
    }

    fn tables(&self) -> Result<Vec<(String, String)>, BoxError> {
        let tables = self.sql(
            "SELECT name, sql FROM sqlite_master \
             WHERE type = 'table' AND name GLOB 'durable_session_*'",
            Vec::new(),
        )?;
        let texts = tables.into_iter().map(|row| match row.as_slice() {
            [SqlStorageValue::String(name), SqlStorageValue::String(create)] => {
                Ok((name.clone(), create.clone()))
            }
            _ => Err(BoxError::from("a table without a name or a statement")),
        });
        texts.collect()
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

    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        seq: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        let first = self.row_with_chunk(id, seq, offset)?;
        self.damage("durable_session_chunks", id, &format!("seq = {seq} AND offset = {first}"))
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        let (from, to) = (self.number(from)?, self.number(to)?);
        let moved = self.sql(
            &format!(
                "UPDATE durable_session_messages AS t SET tag = f.tag, row = f.row \
                 FROM durable_session_messages AS f \
                 WHERE f.n = ? AND f.seq = {seq} AND t.n = ? AND t.seq = {seq} RETURNING 1"
            ),
            vec![from, to],
        )?;
        if moved.len() == 1 { Ok(()) } else { Err("one of the two messages is not there".into()) }
    }

    /// Copies the rows, because tests cannot use the platform's point-in-time recovery.
    async fn back_up(&mut self) -> Result<(), BoxError> {
        let tables = self.tables()?.into_iter().map(|(name, create)| {
            let rows = self.sql(&format!("SELECT * FROM {name}"), Vec::new())?;
            Ok(Table { name, create, rows })
        });
        self.copy = Some(tables.collect::<Result<_, BoxError>>()?);
        Ok(())
    }

    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        for (name, _) in self.tables()? {
            self.sql(&format!("DROP TABLE {name}"), Vec::new())?;
        }
        for Table { name, create, rows } in self.copy.as_ref().ok_or("there is no copy")? {
            self.sql(create, Vec::new())?;
            for row in rows {
                let places = vec!["?"; row.len()].join(", ");
                self.sql(&format!("INSERT INTO {name} VALUES ({places})"), row.clone())?;
            }
        }
        self.store = open(&self.state);
        self.store.restored()?;
        Ok(())
    }
}

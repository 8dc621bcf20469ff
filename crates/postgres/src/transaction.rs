//! A transaction that makes one change.

use crate::connection::Connection;
use crate::error::{Failure, unknown};
use crate::shared::Shared;
use durable_session::SessionId;
use durable_session::store::StoreError;
use futures_util::future::{BoxFuture, join, join_all};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

/// The parameters of a statement, with their types.
pub(crate) type Parameters<'a> = Vec<(&'a (dyn ToSql + Sync), Type)>;

#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) shared: &'a Shared,
    open: bool,
    /// The commit was sent, so a failure can mean that it happened.
    sent: bool,
}

/// The end of a change: the answer, and whether the connection can be used on.
pub(crate) struct Ended<T> {
    pub(crate) answer: Result<T, StoreError>,
    pub(crate) usable: bool,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(connection: &'a Connection, shared: &'a Shared) -> Self {
        Self { connection, shared, open: false, sent: false }
    }

    /// Begins, and sends the first statements along.
    pub(crate) async fn begin(
        &mut self,
        first: &[(&str, Parameters<'_>)],
    ) -> Result<Vec<Vec<Row>>, Failure> {
        self.open = true;
        // If this process is cut off, the server does not notice for hours. The locks end before.
        let begin = format!(
            "BEGIN; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.shared.connector.timeout.as_millis().clamp(1_000, 3_600_000)
        );
        let start = self.connection.execute(&begin);
        let (started, rows) = join(start, self.all(first)).await;
        started?;
        rows
    }

    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        self.connection.query(statement, &parameters).await
    }

    /// Sends the statements one behind the other, and waits for all answers.
    pub(crate) async fn all(
        &self,
        statements: &[(&str, Parameters<'_>)],
    ) -> Result<Vec<Vec<Row>>, Failure> {
        let sent = statements
            .iter()
            .map(|(statement, parameters)| self.connection.query(statement, parameters));
        join_all(sent).await.into_iter().collect()
    }

    /// Sends the last statements and the commit along.
    pub(crate) async fn commit(
        &mut self,
        last: &[(&str, Parameters<'_>)],
    ) -> Result<Vec<Vec<Row>>, Failure> {
        self.sent = true;
        let rows = self.all(last);
        let (rows, committed) = join(rows, self.connection.execute("COMMIT")).await;
        // After a refused statement, the commit is a rollback.
        let rows = rows?;
        committed?;
        self.open = false;
        Ok(rows)
    }

    /// Rolls back what is still open, and says what became of the change.
    pub(crate) async fn end<T>(self, id: &SessionId, made: Result<T, Failure>) -> Ended<T> {
        let mut usable = !made.as_ref().is_err_and(Failure::is_broken);
        if self.open && usable {
            usable = self.connection.execute("ROLLBACK").await.is_ok();
        }
        let answer = made.map_err(|failure| match failure {
            Failure::Broken(error) if self.sent => {
                self.shared.doubt([id]);
                unknown(error)
            }
            failure => failure.nothing_changed(),
        });
        Ended { answer: answer.map_err(|error| error.in_session(id)), usable }
    }
}

/// Runs `change` in a transaction.
pub(crate) async fn transact<'a, T>(
    connection: &'a Connection,
    shared: &'a Shared,
    id: &SessionId,
    change: impl for<'t> FnOnce(&'t mut Transaction<'a>) -> BoxFuture<'t, Result<T, Failure>>,
) -> Ended<T> {
    let mut transaction = Transaction::new(connection, shared);
    let made = match shared.settle(connection, id).await {
        Ok(()) => change(&mut transaction).await,
        Err(failure) => Err(failure),
    };
    transaction.end(id, made).await
}

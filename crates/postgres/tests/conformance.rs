//! The PostgreSQL store keeps the contract: the whole conformance suite against a real server.
#![allow(clippy::unwrap_used)] // Clippy knows tests, but not their helpers.

mod server;

use async_trait::async_trait;
use durable_session::SessionId;
use durable_session::store::{SessionList, SessionStore};
use durable_session_conformance::{
    BoxError, Capability, Case, Counts, Factory, Instance, Outcome, cases,
};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use libtest_mimic::{Arguments, Failed, Trial};
use server::{Schema, program};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

/// The cases that do not apply, each with its reason.
const NOT_APPLICABLE: &str = include_str!("golden/not-applicable.txt");

struct Postgres {
    url: String,
}

#[async_trait(?Send)]
impl Factory for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn capabilities(&self) -> &'static [Capability] {
        use Capability::{
            AcceptsOnFirstPoll, Backup, Corrupt, List, Misplace, ReachableLimits, Reopen, Threads,
        };
        &[Reopen, Corrupt, Misplace, Backup, List, Threads, AcceptsOnFirstPoll, ReachableLimits]
    }

    async fn create(&self) -> Result<Box<dyn Instance>, BoxError> {
        let schema = Schema::new(&self.url);
        let store = Some(schema.builder().open().await?);
        Ok(Box::new(InSchema { store, schema, backup: None }))
    }
}

/// A store in a schema of its own.
struct InSchema {
    store: Option<PostgresStore>,
    schema: Schema,
    backup: Option<TempDir>,
}

impl InSchema {
    fn store(&self) -> PostgresStore {
        self.store.clone().unwrap()
    }

    async fn open(&mut self) -> Result<(), BoxError> {
        self.store = None;
        self.store = Some(self.schema.builder().open().await?);
        Ok(())
    }
}

/// Flips the lowest bit of the byte in the middle of a column.
const FLIPPED: &str =
    "set_byte(body, octet_length(body) / 2, get_byte(body, octet_length(body) / 2) # 1)";

#[async_trait(?Send)]
impl Instance for InSchema {
    fn store(&self) -> Arc<dyn SessionStore> {
        Arc::new(self.store())
    }

    fn list(&self) -> Option<Arc<dyn SessionList>> {
        Some(Arc::new(self.store()))
    }

    async fn reopen(&mut self) -> Result<(), BoxError> {
        self.open().await
    }

    async fn corrupt_message(&mut self, id: &SessionId, seq: u64) -> Result<(), BoxError> {
        let statement = format!(
            "UPDATE {{s}}.message SET body = {FLIPPED} WHERE seq = $2 AND number = \
             (SELECT number FROM {{s}}.head WHERE id = $1)"
        );
        self.schema.change_one(&statement, &[&id.as_str(), &i64::try_from(seq)?]);
        Ok(())
    }

    async fn corrupt_head(&mut self, id: &SessionId) -> Result<(), BoxError> {
        let flipped = FLIPPED.replace("body", "head");
        let statement = format!("UPDATE {{s}}.head SET head = {flipped} WHERE id = $1");
        self.schema.change_one(&statement, &[&id.as_str()]);
        Ok(())
    }

    async fn corrupt_chunk(
        &mut self,
        id: &SessionId,
        seq: u64,
        offset: u64,
    ) -> Result<(), BoxError> {
        let statement = format!(
            "UPDATE {{s}}.chunk AS c SET body = {FLIPPED} WHERE c.seq = $2 AND c.number = \
             (SELECT number FROM {{s}}.head WHERE id = $1) AND c.first = (SELECT max(x.first) \
             FROM {{s}}.chunk AS x WHERE x.number = c.number AND x.seq = $2 AND x.first <= $3)"
        );
        let (seq, offset) = (i64::try_from(seq)?, i64::try_from(offset)?);
        self.schema.change_one(&statement, &[&id.as_str(), &seq, &offset]);
        Ok(())
    }

    async fn misplace_message(
        &mut self,
        from: &SessionId,
        to: &SessionId,
        seq: u64,
    ) -> Result<(), BoxError> {
        let statement = "UPDATE {s}.message AS m SET body = f.body, tag = f.tag \
                         FROM {s}.message AS f WHERE m.seq = $3 AND f.seq = $3 \
                         AND f.number = (SELECT number FROM {s}.head WHERE id = $1) \
                         AND m.number = (SELECT number FROM {s}.head WHERE id = $2)";
        let seq = i64::try_from(seq)?;
        self.schema.change_one(statement, &[&from.as_str(), &to.as_str(), &seq]);
        Ok(())
    }

    async fn back_up(&mut self) -> Result<(), BoxError> {
        let folder = tempfile::tempdir()?;
        let mut dump = program("pg_dump");
        dump.arg("--format=custom").arg(format!("--schema={}", self.schema.name));
        dump.arg("--file").arg(folder.path().join("dump")).arg(&self.schema.url);
        succeed(dump)?;
        self.backup = Some(folder);
        Ok(())
    }

    async fn restore_backup(&mut self) -> Result<(), BoxError> {
        self.store = None;
        let folder = self.backup.as_ref().ok_or("there is no backup")?;
        self.schema.query("DROP SCHEMA {s} CASCADE", &[]);
        let mut restore = program("pg_restore");
        restore.arg("--exit-on-error").arg("--dbname").arg(&self.schema.url);
        succeed({
            restore.arg(folder.path().join("dump"));
            restore
        })?;
        self.open().await
    }
}

fn succeed(mut command: std::process::Command) -> Result<(), BoxError> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let Some(url) = server::url("the conformance suite on PostgreSQL") else {
        return ExitCode::SUCCESS;
    };
    let counts = Arc::new(Mutex::new(Counts::default()));
    let mut trials: Vec<_> = cases()
        .iter()
        .map(|case| {
            let (url, counts) = (url.clone(), counts.clone());
            Trial::test(case.name(), move || run(case, &Postgres { url }, &counts))
        })
        .collect();
    trials.push(Trial::test(
        "the_cases_that_do_not_apply_are_known_with_reasons",
        known_with_reasons,
    ));
    let conclusion = libtest_mimic::run(&arguments, trials);
    println!("conformance postgres: {}", counts.lock().unwrap());
    conclusion.exit_code()
}

fn run(case: &'static Case, factory: &Postgres, counts: &Mutex<Counts>) -> Result<(), Failed> {
    let outcome = block_on(case.run(factory));
    let mut counts = counts.lock().unwrap();
    match outcome {
        Outcome::Passed => counts.passed += 1,
        Outcome::Failed(failure) => {
            counts.failed += 1;
            let clauses: Vec<_> = case.clauses().iter().map(ToString::to_string).collect();
            return Err(format!("postgres breaks {}: {failure}", clauses.join(" ")).into());
        }
        Outcome::NotApplicable(_) => counts.not_applicable += 1,
    }
    Ok(())
}

/// Compares the cases that need a capability which the store does not declare with the golden file.
fn known_with_reasons() -> Result<(), Failed> {
    let factory = Postgres { url: String::new() };
    let mut found = String::new();
    for case in cases() {
        let missing = case.needs().iter().find(|need| !factory.capabilities().contains(need));
        match missing {
            None => {}
            Some(Capability::Crash) => writeln!(
                found,
                "{}: the server's disk cannot be made to forget writes that were not synced",
                case.name()
            )?,
            Some(other) => return Err(format!("{} needs {other}", case.name()).into()),
        }
    }
    if found == NOT_APPLICABLE {
        return Ok(());
    }
    Err(format!("golden/not-applicable.txt has to be:\n{found}").into())
}

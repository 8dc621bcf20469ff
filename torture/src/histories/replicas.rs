//! The histories of clients in two processes that share a PostgreSQL server. Reads are in them.

use super::client::Client;
use super::process::Process;
use super::{CLIENTS, one_order};
use crate::campaign::{Plan, Tally};
use crate::verdict::Kind;
use anyhow::{Context, Result, bail};
use durable_session::SessionId;
use testkit::PostgresServer;

pub(crate) const NAME: &str = "replicas";

/// Every history is linearizable.
pub(crate) fn run(plan: &Plan) -> Tally {
    let mut replicas = None;
    plan.cases(NAME, Kind::OF_MESSAGES, 40, |case, rng, tally| {
        if replicas.is_none() {
            replicas = Some(start()?);
        }
        let Some((processes, _)) = &replicas else { bail!("no processes") };
        let client = |n: usize| Client::InProcess(processes[n % 2].clone());
        let clients: Vec<Client> = (0..CLIENTS).map(client).collect();
        one_order(&SessionId::new(format!("shared-{case}"))?, &clients, true, rng, tally)
    })
}

/// The processes, which end before their server.
fn start() -> Result<([Process; 2], PostgresServer)> {
    let server = PostgresServer::new().context("PG_BIN does not name PostgreSQL's programs")?;
    let processes = [Process::start(&server.url())?, Process::start(&server.url())?];
    Ok((processes, server))
}

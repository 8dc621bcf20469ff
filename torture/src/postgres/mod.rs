//! The PostgreSQL campaign: a server is killed, stopped, paused, filled up and failed over, and its
//! connections are cut, while two stores write to it.
//!
//! Each case has a server of its own and one attack, and is counted under the attack's name if
//! commits were in flight. The server's programs are in the folder that `PG_BIN` names.

mod attack;
mod proxy;
mod writers;

use crate::campaign::{Plan, Tally};
use crate::script::{self, Conversation, Journal};
use crate::verdict::{Kind, hold};
use anyhow::{Context, Result, ensure};
use attack::{Attack, Set};
use durable_session::ChatSessions;
use durable_session::store::{Durability, SessionStore};
use durable_session_postgres::PostgresStore;
use futures_executor::block_on;
use proxy::Proxy;
use std::time::Duration;
use testkit::PostgresServer;
use writers::Writers;

pub(crate) const NAME: &str = "postgres";

/// Whether the programs of a server are here.
pub(crate) fn can_run() -> bool {
    std::env::var_os("PG_BIN").is_some()
}

pub(crate) fn run(plan: &Plan) -> Tally {
    let attacks = Attack::ALL.len() as u64;
    plan.cases(NAME, Kind::OF_MESSAGES, attacks, |case, rng, tally| {
        let attack = Attack::ALL[usize::try_from(case % attacks)?];
        tally.note(&attack.name());
        ensure!(can_run(), "PG_BIN does not name the folder of PostgreSQL's programs");
        let Some(mut set) = Set::up(attack) else {
            tally.skipped();
            return Ok(());
        };
        let proxy = Proxy::start(set.server.port())?;
        let url = proxy.url();
        let stores = [open(&url)?, open(&url)?];
        let writers = Writers::default();
        let outcome = writers.during(&stores, || {
            writers.wait_for_steps()?;
            std::thread::sleep(Duration::from_micros(rng.u64(0..20_000)));
            let in_flight = attack.make(&mut set, &proxy, &writers, rng)?;
            writers.wait_for_steps()?;
            Ok(in_flight)
        });
        let (in_flight, steps) = outcome.with_context(|| format!("attack: {}", attack.name()))?;
        drop(stores);
        if in_flight == 0 {
            tally.skipped();
        } else {
            tally.add(attack.name(), 1);
        }
        tally.add("in_flight", in_flight);
        tally.add("unknown", writers.unknown());
        tally.add("unavailable", writers.unavailable());
        tally.add("read_elsewhere", writers.read_elsewhere());
        tally.add("steps", steps.iter().sum());
        verify(&set.server, &steps, tally)?;
        if let Some(standby) = &set.standby {
            same_rows(&set.server, standby, tally)?;
        }
        Ok(())
    })
}

/// How long a store waits for the server.
const TIMEOUT: Duration = Duration::from_secs(1);

fn open(url: &str) -> Result<PostgresStore> {
    let store = block_on(PostgresStore::builder(url).timeout(TIMEOUT).open())?;
    let durability = store.durability();
    hold!(durability == Durability::Synced, Wrong, "the server syncs; the store: {durability:?}");
    Ok(store)
}

/// What another process finds after the attack.
fn verify(server: &PostgresServer, steps: &[u64], tally: &mut Tally) -> Result<()> {
    let store = open(&server.url())?;
    let sessions: ChatSessions = ChatSessions::builder(store).build();
    for (n, &made) in steps.iter().enumerate() {
        let state = block_on(sessions.session(script::id(n)?).get_state())?;
        let mut stored = Conversation::of(&state);
        stored.alter(tally);
        tally.checked(1 + stored.texts.len());
        script::find(n, Journal { begun: made, acknowledged: made }, &stored)?;
    }
    block_on(sessions.close())?;
    Ok(())
}

/// The standby has caught up, and has the same rows.
fn same_rows(server: &PostgresServer, standby: &PostgresServer, tally: &mut Tally) -> Result<()> {
    let end = server.query("SELECT pg_current_wal_lsn()");
    let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
    writers::wait_until("the standby has caught up", || standby.query(&caught_up) == "t")?;
    let rows = "SELECT count(*), md5(string_agg(number || ' ' || seq || ' ' || md5(body), ',' \
                ORDER BY number, seq)) FROM chat.message";
    let (here, there) = (server.query(rows), standby.query(rows));
    hold!(here == there, Wrong, "the standby has the rows {there}, the server {here}");
    tally.checked(1);
    Ok(())
}

//! Hints of changes, by `NOTIFY`.
//!
//! A listener holds a shared advisory lock. Who made changes tries that lock, at most once in a
//! second: if it is free, nobody listens, and nothing is sent. What is sent are the numbers of the
//! sessions and not their ids, since every role of the database can listen.

use crate::connection::{Connection, first};
use crate::error::{Failure, unavailable};
use crate::found::signed;
use crate::shared::{Shared, lock};
use crate::stats;
use crate::transaction::Parameters;
use durable_session::SessionId;
use durable_session::store::{Hint, StoreError, StoreErrorKind};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::{self, BoxStream};
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{self, Sender, UnboundedReceiver};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::Type;

/// Changes gather for so long before they are sent.
const GATHER: Duration = Duration::from_millis(5);

/// For so long it is believed that nobody listens, or that somebody does.
const BELIEVED: Duration = Duration::from_secs(1);

/// A listener waits so long before its stream begins. Then everybody knows that it listens.
const UNTIL_KNOWN: Duration = Duration::from_millis(1_500);

/// The longest payload. The server takes 7,999 bytes.
const PAYLOAD_BYTES: usize = 7_900;

/// The hints that wait in a stream at most.
const STREAM_HINTS: usize = 16 * 1024;

/// The sessions that were changed through this opening and of which nobody was told yet.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Stands in front of each payload, so that an opening does not hear of its own changes.
    sender: String,
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    numbers: HashSet<u64>,
    /// Whether anybody listens, and when that was asked.
    listened: Option<(bool, Instant)>,
}

impl Waiting {
    fn listened(&self) -> Option<bool> {
        self.listened.filter(|(_, asked)| asked.elapsed() < BELIEVED).map(|(listened, _)| listened)
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            sender: format!("{:016x}", RandomState::new().hash_one(0)),
            waiting: Mutex::default(),
            news: Notify::new(),
        }
    }
}

impl Outbox {
    /// A change of the session of this number is durable.
    pub(crate) fn changed(&self, number: u64) {
        let mut waiting = lock(&self.waiting);
        if waiting.listened() != Some(false) {
            waiting.numbers.insert(number);
            drop(waiting);
            self.news.notify_one();
        }
    }

    fn take(&self) -> HashSet<u64> {
        std::mem::take(&mut lock(&self.waiting).numbers)
    }

    /// The payloads that tell of these sessions.
    fn payloads(&self, numbers: &HashSet<u64>) -> Vec<String> {
        let mut payloads = vec![self.sender.clone()];
        for number in numbers {
            let text = format!(",{number}");
            match payloads.last_mut() {
                Some(last) if last.len() + text.len() <= PAYLOAD_BYTES => last.push_str(&text),
                _ => payloads.push(self.sender.clone() + &text),
            }
        }
        payloads
    }

    /// Reads the numbers in a payload. One that this opening sent has none.
    fn read<'a>(&self, payload: &'a str) -> impl Iterator<Item = u64> + use<'a> {
        let (sender, numbers) = payload.split_once(',').unwrap_or_default();
        let numbers = if sender == self.sender { "" } else { numbers };
        numbers.split(',').filter_map(|number| number.parse().ok())
    }
}

/// Tells the listeners of changes for as long as the store is open.
pub(crate) async fn send(shared: Arc<Shared>) {
    loop {
        shared.outbox.news.notified().await;
        sleep(GATHER).await;
        let numbers = shared.outbox.take();
        if numbers.is_empty() {
            continue;
        }
        if let Err(failure) = tell(&shared, &numbers).await {
            // The next questions of the others find the changes.
            let error = failure.nothing_changed();
            tracing::debug!(error = &error as &dyn std::error::Error, "hints were not sent");
        }
    }
}

async fn tell(shared: &Shared, numbers: &HashSet<u64>) -> Result<(), Failure> {
    let Shared { outbox, sql, .. } = shared;
    let connection = shared.pool.connection(shared).await?;
    let believed = lock(&outbox.waiting).listened();
    let listened = if let Some(listened) = believed {
        listened
    } else {
        let asked = Instant::now();
        let rows = connection.query(&sql.nobody_listens, &[(&sql.topic, Type::INT8)]).await?;
        let listened = !first(&rows)?.try_get::<_, bool>(0)?;
        lock(&outbox.waiting).listened = Some((listened, asked));
        listened
    };
    if listened {
        let payloads = outbox.payloads(numbers);
        let of: Parameters<'_> = vec![(&sql.channel, Type::TEXT), (&payloads, Type::TEXT_ARRAY)];
        connection.query(&sql.notify, &of).await?;
        stats::add(&shared.counters.hints, numbers.len());
    }
    Ok(())
}

/// Opens a stream of hints.
pub(crate) async fn listen(shared: Arc<Shared>) -> Result<BoxStream<'static, Hint>, StoreError> {
    let runtime = shared.connector.runtime.clone();
    let begun = runtime.spawn(async move { begin(shared).await.map_err(Failure::nothing_changed) });
    let hints =
        begun.await.map_err(|_| StoreError::new(StoreErrorKind::Closed, "the store ends"))??;
    let next = |mut hints: mpsc::Receiver<Hint>| async move { Some((hints.recv().await?, hints)) };
    Ok(stream::unfold(hints, next).boxed())
}

async fn begin(shared: Arc<Shared>) -> Result<mpsc::Receiver<Hint>, Failure> {
    let (connection, mut payloads) = shared.connector.connect_listening().await?;
    let sql = &shared.sql;
    connection.execute(&format!("LISTEN {}", sql.channel)).await?;
    prove(&shared, &mut payloads).await?;
    connection.query(&sql.listens, &[(&sql.topic, Type::INT8)]).await?;
    sleep(UNTIL_KNOWN).await;
    let (hints, stream) = mpsc::channel(STREAM_HINTS);
    tokio::spawn(async move {
        if let Err(failure) = receive(&shared, &connection, payloads, &hints).await {
            let error = failure.nothing_changed();
            tracing::warn!(error = &error as &dyn std::error::Error, "a stream of hints ended");
        }
    });
    Ok(stream)
}

/// Has a payload sent by another connection, and waits for it. Through a pooler it does not arrive.
async fn prove(shared: &Shared, payloads: &mut UnboundedReceiver<String>) -> Result<(), Failure> {
    let sql = &shared.sql;
    let proof = format!("{:016x}", RandomState::new().hash_one(0));
    let connection = shared.pool.connection(shared).await?;
    let sent = vec![proof.clone()];
    let of: Parameters<'_> = vec![(&sql.channel, Type::TEXT), (&sent, Type::TEXT_ARRAY)];
    connection.query(&sql.notify, &of).await?;
    let arrival = async {
        while let Some(payload) = payloads.recv().await {
            if payload == proof {
                return true;
            }
        }
        false
    };
    if timeout(Duration::from_secs(5), arrival).await == Ok(true) {
        return Ok(());
    }
    let context = "notifications do not arrive, as through a pooler that gives each transaction \
                   another connection; PostgresStoreBuilder::listen_url takes the address of the \
                   server itself";
    Err(unavailable(context).into())
}

/// Turns payloads into hints until the connection or the stream ends.
async fn receive(
    shared: &Shared,
    connection: &Connection,
    mut payloads: UnboundedReceiver<String>,
    hints: &Sender<Hint>,
) -> Result<(), Failure> {
    loop {
        let next = match select(pin!(payloads.recv()), pin!(hints.closed())).await {
            Either::Left((Some(payload), _)) => payload,
            Either::Left((None, _)) | Either::Right(_) => return Ok(()),
        };
        let mut numbers: HashSet<u64> = shared.outbox.read(&next).collect();
        while let Ok(payload) = payloads.try_recv() {
            numbers.extend(shared.outbox.read(&payload));
        }
        for id in ids(shared, connection, numbers).await? {
            match hints.try_send(Hint::Session(id)) {
                Ok(()) => {}
                Err(TrySendError::Closed(_)) => return Ok(()),
                Err(TrySendError::Full(_)) => {
                    if !miss(&mut payloads, hints).await {
                        return Ok(());
                    }
                    break;
                }
            }
        }
    }
}

/// The stream is full: forgets what comes until there is room, and says that hints were lost.
/// `false` if the connection or the stream has ended.
async fn miss(payloads: &mut UnboundedReceiver<String>, hints: &Sender<Hint>) -> bool {
    let forgetting = async { while payloads.recv().await.is_some() {} };
    match select(pin!(hints.reserve()), pin!(forgetting)).await {
        Either::Left((Ok(room), _)) => {
            room.send(Hint::Missed);
            true
        }
        Either::Left((Err(_), _)) | Either::Right(_) => false,
    }
}

/// The ids of sessions, also of deleted ones that were used through this opening.
async fn ids(
    shared: &Shared,
    connection: &Connection,
    numbers: HashSet<u64>,
) -> Result<Vec<SessionId>, Failure> {
    let (mut ids, mut unknown) = (Vec::with_capacity(numbers.len()), Vec::new());
    for number in numbers {
        match shared.id_of(number) {
            Some(id) => ids.push(id),
            None => unknown.push(signed(number)),
        }
    }
    if !unknown.is_empty() {
        let of: Parameters<'_> = vec![(&unknown, Type::INT8_ARRAY)];
        for row in &connection.query(&shared.sql.ids, &of).await? {
            ids.extend(SessionId::new(row.try_get::<_, String>(0)?));
        }
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_tell_all_numbers_to_others_and_none_to_their_sender() {
        let (one, other) = (Outbox::default(), Outbox::default());
        let numbers: HashSet<u64> = (0..5_000).chain([u64::from(u32::MAX)]).collect();
        let payloads = one.payloads(&numbers);
        assert!(payloads.len() > 2 && payloads.iter().all(|p| p.len() <= PAYLOAD_BYTES));
        let read: HashSet<u64> = payloads.iter().flat_map(|payload| other.read(payload)).collect();
        assert_eq!(read, numbers);
        assert_eq!(payloads.iter().flat_map(|payload| one.read(payload)).count(), 0);
        for strange in ["", ",", "a,b", "0123,x,-1,"] {
            assert_eq!(other.read(strange).count(), 0, "{strange}");
        }
    }
}

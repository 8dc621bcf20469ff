//! `/metrics` for Prometheus and the page for operators.

use crate::backend::Stores;
use axum::body::Body;
use axum::response::Response;
use durable_session::ChatSessions;
use durable_session_http::{DEFAULT_PREFIX, session_of};
use durable_session_postgres::PostgresStore;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tutoring::Tutoring;

/// The format of the text.
pub(crate) const CONTENT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request asks for, without the id in its path.
#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Route {
    route: &'static str,
}

impl Route {
    const OF_A_SESSION: [&str; 7] =
        ["messages", "events", "replies", "reset", "rewind", "labels", "fork"];

    pub(crate) fn of(path: &str) -> Self {
        let route = match session_of(DEFAULT_PREFIX, path) {
            Ok((_, rest)) => {
                let first = rest.split('/').nth(1).unwrap_or_default();
                let known = Self::OF_A_SESSION.into_iter().find(|&name| name == first);
                known.unwrap_or(if first.is_empty() { "state" } else { "field" })
            }
            Err(_) if path == "/api/chat/sessions" => "sessions",
            Err(_) if path.starts_with("/api/chat/owners/") => "owners",
            Err(_) => "page",
        };
        Self { route }
    }
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    /// The status, such as `429`.
    status: u16,
}

/// Counts and durations of answers, open event streams, and the counts of the sessions and stores.
pub(crate) struct Metrics {
    registry: Registry,
    answers: Family<Answer, Counter>,
    seconds: Family<Route, Histogram>,
    event_streams: Gauge,
}

/// An event stream that is being sent, counted.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn new(sessions: Option<ChatSessions<Tutoring>>, stores: Stores) -> Self {
        let mut registry = Registry::default();
        let answers = Family::default();
        registry.register("http_answers", "Answers by route and status", answers.clone());
        // From a quarter of a millisecond to 8 seconds.
        let buckets: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_25, 2.0, 16));
        let seconds = Family::new_with_constructor(buckets);
        let help = "Time until the head of an answer, by route";
        registry.register("http_answer_seconds", help, seconds.clone());
        let event_streams = Gauge::default();
        registry.register("http_event_streams", "Open event streams", event_streams.clone());
        registry.register_collector(Box::new(Below { sessions, stores }));
        Self { registry, answers, seconds, event_streams }
    }

    pub(crate) fn answered(&self, route: Route, status: u16, after: Duration) {
        self.answers.get_or_create(&Answer { route: route.route, status }).inc();
        self.seconds.get_or_create(&route).observe(after.as_secs_f64());
    }

    /// Counts an event stream as open until it ends or its client goes away.
    pub(crate) fn streaming(&self, response: Response) -> Response {
        if response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "text/event-stream") {
            return response;
        }
        self.event_streams.inc();
        let open = Open(self.event_streams.clone());
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _counted_until_dropped = &open;
                frame
            }))
        })
    }

    /// Everything as Prometheus reads it.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = text::encode(&mut text, &self.registry);
        text
    }
}

/// What the sessions and the stores below them count.
struct Below {
    sessions: Option<ChatSessions<Tutoring>>,
    stores: Stores,
}

impl fmt::Debug for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Below").field("stores", &self.stores).finish_non_exhaustive()
    }
}

impl Collector for Below {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut put = Put(encoder);
        if let Some(s) = self.sessions.as_ref().map(ChatSessions::stats) {
            put.counter("sessions_commits", "Commits of sessions", s.commits)?;
            put.counter("sessions_calls", "Calls that changed a session", s.calls)?;
            put.counter("sessions_conflicts", "Commits that met another writer", s.conflicts)?;
            put.counter("sessions_loads", "Sessions loaded from the store", s.loads)?;
            put.counter("sessions_failures", "Calls that the store failed", s.failures)?;
            put.counter("sessions_evictions", "Sessions that left memory", s.evictions)?;
            put.counter("sessions_touches", "Times of last use that were stored", s.touches)?;
            put.gauge("sessions_largest_batch", "Most calls in one commit", s.largest_batch)?;
            put.gauge("sessions_live", "Sessions in memory", s.live_sessions)?;
            put.gauge("sessions_live_bytes", "Bytes of the sessions in memory", s.live_bytes)?;
            put.gauge("sessions_slots", "Places for sessions in memory", s.slots)?;
            put.gauge("sessions_queue_depth", "Calls that wait", s.queue_depth)?;
        }
        if let Some((redb, file)) = &self.stores.redb {
            let s = redb.stats();
            put.store(s.commits, s.changes, s.batches, s.reads, s.queue_depth as u64)?;
            put.counter("store_reopened", "Times the file was opened again", s.reopened)?;
            put.counter("store_flushes", "Flushes from the log to the file", s.flushes)?;
            put.gauge("store_log_bytes", "Bytes of the log in use", s.log_bytes)?;
            let help = "Bytes of changes in memory that are not in the file yet";
            put.gauge("store_memtable_bytes", help, s.memtable_bytes as u64)?;
            put.gauge("store_verifying", "1 while the file is verified", u64::from(s.verifying))?;
            put.gauge("store_file_bytes", "Bytes of the file and its log", bytes_of(file))?;
            if let Some(free) = free_bytes(file) {
                put.gauge("store_disk_free_bytes", "Bytes free on the disk of the file", free)?;
            }
        }
        if let Some(s) = self.stores.postgres.as_ref().map(PostgresStore::stats) {
            put.store(s.commits, s.changes, s.batches, s.reads, s.queue_depth as u64)?;
            let help = "Commits whose outcome is not known";
            put.counter("store_unknown_outcomes", help, s.unknown_outcomes)?;
            put.counter("store_connections", "Connections that were opened", s.connections)?;
            put.counter("store_hints", "Hints of changes of other processes", s.hints)?;
        }
        Ok(())
    }
}

struct Put<'e>(DescriptorEncoder<'e>);

impl Put<'_> {
    fn store(
        &mut self,
        commits: u64,
        changes: u64,
        batches: u64,
        reads: u64,
        queue_depth: u64,
    ) -> fmt::Result {
        self.counter("store_commits", "Commits that are durable", commits)?;
        self.counter("store_changes", "Changes in these commits", changes)?;
        self.counter("store_batches", "Groups of commits that were stored at once", batches)?;
        self.counter("store_reads", "Reads of the store", reads)?;
        self.gauge("store_queue_depth", "Requests that wait for the store", queue_depth)
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.put(name, help, &ConstCounter::new(value))
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.put(name, help, &ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    fn put(&mut self, name: &str, help: &str, metric: &impl EncodeMetric) -> fmt::Result {
        let name = format!("durable_session_{name}");
        let help = format!("{help}.");
        metric.encode(self.0.encode_descriptor(&name, &help, None, metric.metric_type())?)
    }
}

/// The bytes of a store's file and of the segments of its log.
fn bytes_of(file: &Path) -> u64 {
    let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return 0 };
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else { return 0 };
    let segment = format!("{name}-wal.");
    let ours = entries.flatten().filter(|entry| {
        let entry = entry.file_name();
        entry.to_str().is_some_and(|entry| entry == name || entry.starts_with(&segment))
    });
    ours.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(unix)]
fn free_bytes(file: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(file).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_file: &Path) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::Route;

    #[test]
    fn a_route_is_named_without_the_id() {
        for (path, route) in [
            ("/api/chat/session/s-1", "state"),
            ("/api/chat/session/s-1/", "state"),
            ("/api/chat/session/s-1/messages", "messages"),
            ("/api/chat/session/s-1/messages/7", "messages"),
            ("/api/chat/session/s-1/booking-info", "field"),
            ("/api/chat/session/s-1/secret", "field"),
            ("/api/chat/sessions", "sessions"),
            ("/api/chat/owners/u-42", "owners"),
            ("/app.js", "page"),
        ] {
            assert_eq!(Route::of(path), Route { route }, "{path}");
        }
    }
}

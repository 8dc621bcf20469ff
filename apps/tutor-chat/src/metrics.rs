//! `/metrics` for Prometheus.

use axum::body::Body;
use axum::response::Response;
use durable_session::ChatSessions;
use durable_session_postgres::PostgresStore;
use durable_session_redb::RedbStore;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tutoring::Tutoring;

/// Counts of answers and open event streams.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    /// By the first digit of their status.
    answers: [AtomicU64; 5],
    event_streams: AtomicU64,
}

/// An event stream that is being sent, counted.
struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.event_streams.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(count) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an event stream as open until it ends or its client goes away.
    pub(crate) fn streaming(self: &Arc<Self>, response: Response) -> Response {
        if response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != "text/event-stream") {
            return response;
        }
        self.event_streams.fetch_add(1, Ordering::Relaxed);
        let open = Open(Arc::clone(self));
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let _counted_until_dropped = &open;
                frame
            }))
        })
    }

    /// Everything as Prometheus reads it.
    pub(crate) fn text(
        &self,
        sessions: Option<&ChatSessions<Tutoring>>,
        redb: Option<&RedbStore>,
        postgres: Option<&PostgresStore>,
    ) -> String {
        let mut text = String::from("# TYPE http_answers_total counter\n");
        for (class, count) in (1..).zip(&self.answers) {
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "http_answers_total{{class=\"{class}xx\"}} {}",
                count.load(Ordering::Relaxed)
            );
        }
        let open = self.event_streams.load(Ordering::Relaxed);
        let _ = writeln!(text, "# TYPE http_event_streams gauge\nhttp_event_streams {open}");
        if let Some(s) = sessions.map(ChatSessions::stats) {
            counter(&mut text, "sessions_commits", s.commits);
            counter(&mut text, "sessions_calls", s.calls);
            counter(&mut text, "sessions_conflicts", s.conflicts);
            counter(&mut text, "sessions_loads", s.loads);
            counter(&mut text, "sessions_failures", s.failures);
            counter(&mut text, "sessions_evictions", s.evictions);
            counter(&mut text, "sessions_touches", s.touches);
            gauge(&mut text, "sessions_largest_batch", s.largest_batch);
            gauge(&mut text, "sessions_live", s.live_sessions);
            gauge(&mut text, "sessions_live_bytes", s.live_bytes);
            gauge(&mut text, "sessions_slots", s.slots);
            gauge(&mut text, "sessions_queue_depth", s.queue_depth);
        }
        if let Some(s) = redb.map(RedbStore::stats) {
            counter(&mut text, "store_commits", s.commits);
            counter(&mut text, "store_changes", s.changes);
            counter(&mut text, "store_batches", s.batches);
            counter(&mut text, "store_reads", s.reads);
            counter(&mut text, "store_reopened", s.reopened);
            gauge(&mut text, "store_queue_depth", s.queue_depth as u64);
        }
        if let Some(s) = postgres.map(PostgresStore::stats) {
            counter(&mut text, "store_commits", s.commits);
            counter(&mut text, "store_changes", s.changes);
            counter(&mut text, "store_batches", s.batches);
            counter(&mut text, "store_reads", s.reads);
            counter(&mut text, "store_unknown_outcomes", s.unknown_outcomes);
            counter(&mut text, "store_connections", s.connections);
            counter(&mut text, "store_hints", s.hints);
            gauge(&mut text, "store_queue_depth", s.queue_depth as u64);
        }
        text
    }
}

fn counter(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(
        text,
        "# TYPE durable_session_{name}_total counter\ndurable_session_{name}_total {value}"
    );
}

fn gauge(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "# TYPE durable_session_{name} gauge\ndurable_session_{name} {value}");
}

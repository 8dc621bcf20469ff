//! `/metrics` for Prometheus.

use durable_session::ChatSessions;
use durable_session_redb::RedbStore;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use tutoring::Tutoring;

/// Answers by the first digit of their status.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    answers: [AtomicU64; 5],
}

impl Metrics {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(count) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Everything as Prometheus reads it.
    pub(crate) fn text(&self, sessions: Option<&ChatSessions<Tutoring>>, redb: Option<&RedbStore>) -> String {
        let mut text = String::from("# TYPE http_answers_total counter\n");
        for (class, count) in (1..).zip(&self.answers) {
            // Writing into a string cannot fail.
            let _ =
                writeln!(text, "http_answers_total{{class=\"{class}xx\"}} {}", count.load(Ordering::Relaxed));
        }
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
            counter(&mut text, "store_transactions", s.transactions);
            counter(&mut text, "store_reads", s.reads);
            counter(&mut text, "store_reopened", s.reopened);
            gauge(&mut text, "store_queue_depth", s.queue_depth as u64);
        }
        text
    }
}

fn counter(text: &mut String, name: &str, value: u64) {
    let _ =
        writeln!(text, "# TYPE durable_session_{name}_total counter\ndurable_session_{name}_total {value}");
}

fn gauge(text: &mut String, name: &str, value: u64) {
    let _ = writeln!(text, "# TYPE durable_session_{name} gauge\ndurable_session_{name} {value}");
}

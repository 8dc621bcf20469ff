//! What it costs to add a message, durably, while the session it goes to changes from call to call.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use benches::{id, message, subjects};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_session::{ChatSession, ChatSessions};
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SESSIONS: usize = 1_000;
const CALLERS: usize = 64;

fn save(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("save");
    for subject in subjects(env!("CARGO_TARGET_TMPDIR")).unwrap() {
        let sessions: ChatSessions = ChatSessions::builder(Arc::clone(&subject.store)).build();
        let mut all =
            (0..SESSIONS).map(|n| sessions.session(id(n).unwrap())).collect::<Vec<_>>().into_iter().cycle();

        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one caller", subject.name), |bencher| {
            bencher.iter(|| runtime.block_on(all.next().unwrap().add_message(message())).unwrap());
        });

        group.throughput(Throughput::Elements(CALLERS as u64));
        group.bench_function(BenchmarkId::new("64 callers", subject.name), |bencher| {
            bencher.iter(|| runtime.block_on(together(all.by_ref().take(CALLERS))));
        });
    }
}

async fn together(sessions: impl Iterator<Item = ChatSession>) {
    let mut callers = JoinSet::new();
    for session in sessions {
        callers.spawn(async move { session.add_message(message()).await });
    }
    while let Some(added) = callers.join_next().await {
        added.unwrap().unwrap();
    }
}

criterion_group!(benches, save);
criterion_main!(benches);

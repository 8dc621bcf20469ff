//! What it costs to use a session that is not in memory.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use benches::{id, message, subjects};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_session::{ChatSession, ChatSessions};
use std::sync::Arc;
use tokio::runtime::Runtime;

const LENGTHS: [usize; 2] = [10, 1_000];

fn load(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("load");
    for subject in subjects(env!("CARGO_TARGET_TMPDIR")).unwrap() {
        // A new hub each time has nothing in memory.
        let cold = |length: usize| -> ChatSession {
            let sessions: ChatSessions = ChatSessions::builder(Arc::clone(&subject.store)).build();
            sessions.session(id(length).unwrap())
        };
        for length in LENGTHS {
            let messages = vec![message(); length];
            runtime.block_on(cold(length).add_messages(messages)).unwrap();

            group.throughput(Throughput::Elements(1));
            group.bench_function(
                BenchmarkId::new(format!("snapshot of {length}"), subject.name),
                |bencher| {
                    bencher.iter(|| runtime.block_on(cold(length).snapshot()).unwrap());
                },
            );
            group.throughput(Throughput::Elements(length as u64));
            group.bench_function(BenchmarkId::new(format!("all of {length}"), subject.name), |bencher| {
                bencher.iter(|| runtime.block_on(cold(length).get_state()).unwrap());
            });
        }
    }
}

criterion_group!(benches, load);
criterion_main!(benches);

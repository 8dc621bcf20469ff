//! The cost of looking at a session that is in memory, and at one that is not.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use benches::{id, message, subjects};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_session::{ChatSession, ChatSessions};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

const LENGTHS: [usize; 3] = [10, 1_000, 100_000];
/// A store takes 4,096 changes in one commit.
const AT_ONCE: usize = 4_000;

fn load(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("load");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    for subject in subjects(env!("CARGO_TARGET_TMPDIR")).unwrap() {
        let registry =
            || -> ChatSessions { ChatSessions::builder(Arc::clone(&subject.store)).build() };
        // A new registry each time has nothing in memory.
        let cold = |length: usize| -> ChatSession { registry().session(id(length).unwrap()) };
        for length in LENGTHS {
            for rest in (0..length).step_by(AT_ONCE) {
                let messages = vec![message(); AT_ONCE.min(length - rest)];
                runtime.block_on(cold(length).add_messages(messages)).unwrap();
            }
            let registry = registry();
            let hot = registry.session(id(length).unwrap());

            group.throughput(Throughput::Elements(1));
            let named = |what: &str| BenchmarkId::new(format!("{what} of {length}"), subject.name);
            group.bench_function(named("snapshot in memory"), |bencher| {
                bencher.iter(|| runtime.block_on(hot.snapshot()).unwrap());
            });
            group.bench_function(named("snapshot"), |bencher| {
                bencher.iter(|| runtime.block_on(cold(length).snapshot()).unwrap());
            });
            group.throughput(Throughput::Elements(length as u64));
            group.bench_function(named("state, its window in memory,"), |bencher| {
                bencher.iter(|| runtime.block_on(hot.get_state()).unwrap());
            });
            group.bench_function(named("state"), |bencher| {
                bencher.iter(|| runtime.block_on(cold(length).get_state()).unwrap());
            });
        }
    }
}

criterion_group!(benches, load);
criterion_main!(benches);

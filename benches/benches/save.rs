//! The cost of adding messages, durably, to another session in each call.
#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has to stop")]

use benches::{Sizes, id, message, subjects};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_session::{ChatSession, ChatSessions, Error, Message};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const SESSIONS: usize = 1_000;

fn save(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("save");
    group
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
        .sample_size(50);
    for subject in subjects(env!("CARGO_TARGET_TMPDIR")).unwrap() {
        let sessions: ChatSessions = ChatSessions::builder(Arc::clone(&subject.store)).build();
        let session = |n| sessions.session(id(n).unwrap());
        let mut all = (0..SESSIONS).map(session).collect::<Vec<_>>().into_iter().cycle();

        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("one caller", subject.name), |bencher| {
            bencher.iter(|| runtime.block_on(all.next().unwrap().add_message(message())).unwrap());
        });
        group.bench_function(
            BenchmarkId::new("a turn: two messages and app state", subject.name),
            |bencher| {
                let mut step = 0;
                bencher.iter(|| {
                    step += 1;
                    runtime.block_on(turn(&all.next().unwrap(), step)).unwrap();
                });
            },
        );
        for callers in [16, 64, 256] {
            group.throughput(Throughput::Elements(callers as u64));
            group.bench_function(
                BenchmarkId::new(format!("{callers} callers"), subject.name),
                |bencher| {
                    bencher.iter(|| {
                        let some = all.by_ref().take(callers).map(|session| (session, message()));
                        runtime.block_on(together(some));
                    });
                },
            );
        }
        group.throughput(Throughput::Elements(64));
        for (name, sizes) in [("people", Sizes::HUMAN_CHAT), ("a language model", Sizes::LLM_CHAT)]
        {
            let mut messages = (0..).map(|n| sizes.message(n));
            let name = format!("64 callers, messages as long as in chats with {name}");
            group.bench_function(BenchmarkId::new(name, subject.name), |bencher| {
                bencher.iter(|| {
                    let some = all.by_ref().take(64).zip(messages.by_ref());
                    runtime.block_on(together(some));
                });
            });
        }
        // Another one each time: they would all fill a single one up.
        group.bench_function(
            BenchmarkId::new("64 callers of one session", subject.name),
            |bencher| {
                bencher.iter(|| {
                    let same =
                        std::iter::repeat_n(all.next().unwrap(), 64).map(|one| (one, message()));
                    runtime.block_on(together(same));
                });
            },
        );
    }
}

async fn turn(session: &ChatSession, step: u64) -> Result<(), Error> {
    session
        .turn(|draft| {
            draft.add_message(message())?;
            draft.app_mut()?.set("step", &step).map_err(Error::rejected)?;
            draft.add_message(message())?;
            Ok(())
        })
        .await
}

async fn together(calls: impl Iterator<Item = (ChatSession, Message)>) {
    let mut callers = JoinSet::new();
    for (session, message) in calls {
        callers.spawn(async move { session.add_message(message).await });
    }
    while let Some(added) = callers.join_next().await {
        added.unwrap().unwrap();
    }
}

criterion_group!(benches, save);
criterion_main!(benches);

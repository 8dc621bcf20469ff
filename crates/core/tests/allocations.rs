//! The allocations of a call do not depend on the length of the conversation (C9, S8).

#![allow(clippy::unwrap_used)] // helpers of tests

use durable_session::{ChatSession, ChatSessions, JsonObject, Message};
use durable_session_memory::MemoryStore;
use futures_executor::block_on;
use futures_util::future::poll_immediate;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, Stats, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn session(messages: usize) -> ChatSession {
    let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).build();
    let chat = sessions.session("s".parse().unwrap());
    for chunk in (0..messages).collect::<Vec<_>>().chunks(1000) {
        let chunk = chunk.iter().map(|i| Message::user(format!("message number {i:06}"))).collect();
        block_on(chat.add_messages(chunk)).unwrap();
    }
    // So that the next append moves the window on, as it does for every longer session.
    block_on(chat.add_message(Message::user("the last one of these"))).unwrap();
    chat
}

fn measure<T>(mut call: impl FnMut() -> T) -> Stats {
    call();
    let region = Region::new(ALLOCATOR);
    let value = call();
    let used = region.change();
    drop(value);
    used
}

/// One test, so that nothing else allocates meanwhile.
/// Clause C9.
#[test]
fn a_snapshot_allocates_nothing_that_grows_with_the_session() {
    let (short, long) = (session(100), session(100_000));
    let snapshots = [&short, &long].map(|chat| measure(|| block_on(chat.snapshot()).unwrap()));
    assert_eq!(snapshots[0].allocations, snapshots[1].allocations);
    assert_eq!(snapshots[0].bytes_allocated, snapshots[1].bytes_allocated);
    assert_eq!(snapshots[0].allocations, 0, "it is a reference to what is there");

    // The store's own share left out: the memory store copies nothing of a session on append
    // either.
    let appends = [&short, &long]
        .map(|chat| measure(|| block_on(chat.add_message(Message::user("x"))).unwrap()));
    let (short, long) = (appends[0].allocations, appends[1].allocations);
    assert!(
        long * 100 <= short * 110,
        "an append to 100,000 messages: {long} allocations, to 100: {short}"
    );

    using_a_session_again_and_again_keeps_nothing();
    watchers_that_left_keep_nothing();
    handles_that_were_dropped_keep_nothing();
}

/// The bytes that are allocated and stay.
fn kept(work: impl FnOnce()) -> isize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.bytes_allocated.cast_signed() - change.bytes_deallocated.cast_signed()
}

fn using_a_session_again_and_again_keeps_nothing() {
    let chat = session(10);
    let write = |text: &str| block_on(chat.replace(1, Message::user(text))).unwrap();
    write("aaaa");
    // Nor is anything kept for watchers that left.
    drop(chat.watch());
    let kept = kept(|| (0..2_000).for_each(|n| write(if n % 2 == 0 { "bbbb" } else { "aaaa" })));
    assert!(kept < 2_000, "{kept} bytes");
}

fn watchers_that_left_keep_nothing() {
    let chat = session(10);
    let watch = || assert!(block_on(poll_immediate(chat.watch().next())).is_none());
    watch();
    let kept = kept(|| (0..2_000).for_each(|_| watch()));
    assert!(kept < 4_000, "{kept} bytes");
}

fn handles_that_were_dropped_keep_nothing() {
    let sessions = ChatSessions::<JsonObject>::builder(MemoryStore::new()).build();
    let kept = kept(|| {
        let handle = |n: u32| sessions.session(format!("s{n}").parse().unwrap());
        let handles: Vec<ChatSession> = (0..20_000).map(handle).collect();
        drop(handles);
    });
    assert!(kept < 100_000, "{kept} bytes");
}

//! Shared by the tests of the redb store.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, Op, Row, SessionStore, StoreError, TailBounds, Version,
};

pub(crate) const ALL: TailBounds = TailBounds { max_messages: usize::MAX, max_bytes: u64::MAX };

pub(crate) fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(crate) fn commit(expect: Expect, ops: Vec<Op>) -> Commit {
    Commit { expect, ops, at: 2_000 }
}

pub(crate) fn appends(bodies: &[&str]) -> Vec<Op> {
    bodies.iter().map(|body| Op::Append(Bytes::copy_from_slice(body.as_bytes()))).collect()
}

pub(crate) fn committed(outcome: Result<CommitOutcome, StoreError>) -> Head {
    match outcome.unwrap() {
        CommitOutcome::Committed(head) => head,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) async fn create(store: &dyn SessionStore, id: &SessionId, bodies: &[&str]) -> Head {
    let commit = commit(Expect::Absent { created_at: 1_000 }, appends(bodies));
    committed(store.commit(id, commit).await)
}

pub(crate) async fn append(
    store: &dyn SessionStore,
    id: &SessionId,
    version: Version,
    bodies: &[&str],
) -> Head {
    committed(store.commit(id, commit(Expect::Version(version), appends(bodies))).await)
}

pub(crate) fn bodies(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.body.to_vec()).unwrap()).collect()
}

/// In a child process that [`run_in_child`] started: what it was given.
pub(crate) fn in_child(variable: &str) -> Option<String> {
    std::env::var(format!("DURABLE_SESSION_TEST_{variable}")).ok()
}

/// Runs one test of this binary in a process of its own, with `value` for [`in_child`], after `setup` in a shell.
pub(crate) fn run_in_child(test: &str, variable: &str, value: &str, setup: Option<&str>) {
    let binary = std::env::current_exe().unwrap();
    let mut command = match setup {
        None => std::process::Command::new(&binary),
        Some(setup) => {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("{setup}; exec \"$0\" \"$@\"")]).arg(&binary);
            shell
        }
    };
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(format!("DURABLE_SESSION_TEST_{variable}"), value)
        .output()
        .unwrap();
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "the child ran no test: {told}");
}

//! Shared by the tests of the redb store.

use bytes::Bytes;
use durable_session::SessionId;
use durable_session::store::{
    Commit, CommitOutcome, Expect, Head, LoadQuery, Op, Row, Salt, SessionStore, StoreError,
    TailBounds,
};
use durable_session_redb::{OpenError, RedbStore, RedbStoreBuilder};
use futures_executor::block_on;
use std::time::{Duration, Instant};
use testkit::disk::{Content, Disk, DiskLog, Event, File, Files};

pub(crate) const ALL: LoadQuery = LoadQuery::new(TailBounds::new(usize::MAX, u64::MAX));

/// The two simulated disks of a store: that of its file, and that of its log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks {
    pub(crate) file: Disk,
    pub(crate) log: DiskLog,
}

/// Options with small segments, which are quick to copy.
pub(crate) fn small() -> RedbStoreBuilder {
    RedbStore::builder().log_bytes(1 << 20)
}

/// Options with which nearly every change begins a flush.
pub(crate) fn tiny() -> RedbStoreBuilder {
    RedbStore::builder().log_bytes(24 << 10).memtable_bytes(1 << 10)
}

impl Disks {
    pub(crate) fn try_open(&self, builder: &RedbStoreBuilder) -> Result<RedbStore, OpenError> {
        builder.open_backend(self.file.backend(), self.log.clone())
    }

    pub(crate) fn open_with(&self, builder: &RedbStoreBuilder) -> RedbStore {
        self.try_open(builder).unwrap()
    }

    pub(crate) fn open(&self) -> RedbStore {
        self.open_with(&small())
    }

    pub(crate) fn read_only(&self) -> Result<RedbStore, OpenError> {
        small().open_backend_read_only(self.file.backend(), self.log.clone())
    }

    /// A store that can open its storage again.
    pub(crate) fn reopenable(&self, builder: &RedbStoreBuilder) -> RedbStore {
        let file = self.file.clone();
        builder.open_storage(move || Ok(file.backend()), self.log.clone()).unwrap()
    }

    /// Both disks after a power loss now.
    pub(crate) fn after_power_loss(&self) -> Self {
        Self { file: self.file.after_power_loss(), log: self.log.after_power_loss() }
    }

    /// Both disks after the process was killed now.
    pub(crate) fn after_kill(&self) -> Self {
        Self { file: Disk::with(self.file.bytes()), log: self.log.after_kill() }
    }

    /// The same log beside another file.
    pub(crate) fn with_file(&self, bytes: Vec<u8>) -> Self {
        Self { file: Disk::with(bytes), log: self.log.after_kill() }
    }

    /// Changes the tables of a closed store.
    pub(crate) fn change(&self, change: impl FnOnce(&redb::WriteTransaction)) {
        let db = redb::Database::builder().create_with_backend(self.file.backend()).unwrap();
        let mut txn = db.begin_write().unwrap();
        txn.set_quick_repair(true);
        change(&txn);
        txn.commit().unwrap();
        db.close().unwrap();
    }
}

/// Repeats `ask` until it says yes.
/// Calls `check` with the files as a kill leaves them before the first change that `act` makes of a
/// store and after each of them, and with the number of changes.
pub(crate) fn killed_during(
    begin: impl FnOnce(&RedbStore),
    act: impl FnOnce(&RedbStore),
    mut check: impl FnMut(usize, &Files),
) {
    let disk = Disk::default().logging();
    let store = small().open_backend(disk.backend(), disk.log()).unwrap();
    begin(&store);
    let before = disk.log_len();
    act(&store);
    let log = disk.take_log();
    block_on(store.close()).unwrap();
    assert!(log.len() > before, "nothing was changed");
    let mut files = Files::new();
    for (at, event) in log.iter().enumerate() {
        if at == before {
            check(0, &files);
        }
        let Event::Change(file, change) = event else { continue };
        let mut content = files.remove(file).or((*file == File::Main).then(Content::default));
        change.apply(&mut content);
        files.extend(content.map(|content| (*file, content)));
        if at >= before {
            check(at - before + 1, &files);
        }
    }
}

pub(crate) fn until(text: &str, mut ask: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ask() {
        assert!(began.elapsed() < Duration::from_mins(1), "{text}: it never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn id(name: &str) -> SessionId {
    SessionId::new(name).unwrap()
}

pub(crate) fn commit(expect: Expect, ops: Vec<Op>) -> Commit {
    Commit::new(expect, ops, 2_000)
}

pub(crate) fn appends(bodies: &[&str]) -> Vec<Op> {
    bodies.iter().map(|body| Op::append(Bytes::copy_from_slice(body.as_bytes()))).collect()
}

pub(crate) fn committed(outcome: Result<CommitOutcome, StoreError>) -> Head {
    match outcome.unwrap() {
        CommitOutcome::Committed(head) => head,
        other => panic!("not committed: {other:?}"),
    }
}

pub(crate) async fn create(store: &dyn SessionStore, id: &SessionId, bodies: &[&str]) -> Head {
    let commit = commit(Expect::absent(1_000), appends(bodies));
    committed(store.commit(id, commit).await)
}

pub(crate) async fn append(
    store: &dyn SessionStore,
    id: &SessionId,
    head: Head,
    bodies: &[&str],
) -> Head {
    committed(store.commit(id, commit(head.expect(), appends(bodies))).await)
}

/// The salt between two stores of the same content, from the heads of one session in both.
pub(crate) fn salt_between(one: Head, other: Head) -> Salt {
    let first = |head: Head| u64::from_le_bytes(head.version.to_bytes()[..8].try_into().unwrap());
    Salt::new(first(one) ^ first(other))
}

pub(crate) fn bodies(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| String::from_utf8(row.body.to_vec()).unwrap()).collect()
}

/// The value that [`run_in_child`] gave to this process; `None` in the parent.
pub(crate) fn in_child(variable: &str) -> Option<String> {
    std::env::var(format!("DURABLE_SESSION_TEST_{variable}")).ok()
}

/// Runs one test of this binary in a child process, with `value` for [`in_child`], after `setup` in
/// a shell.
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
    let told = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{told}");
    assert!(told.contains("1 passed"), "the child ran no test: {told}");
}

//! A commit is whole, happens once, and is reported truthfully (S1).

use crate::failure::ensure;
use crate::fixture::{Checked, Fixture, T, append, session};
use durable_session::store::{Commit, Expect};

pub(crate) async fn a_future_that_was_never_polled_changes_nothing(t: &mut Fixture) -> Checked {
    let id = session()?;
    let store = t.store();
    drop(
        store.commit(&id, Commit { expect: Expect::Absent { created_at: T }, ops: vec![append("a")], at: T }),
    );
    ensure!(t.maybe_all(&id).await?.is_none(), "a commit whose future was never polled took place");
    Ok(())
}

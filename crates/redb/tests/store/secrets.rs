//! Log lines and errors of the store: they name a session by its fingerprint and show no content.

use crate::damage::{EVERYTHING, hush};
use crate::support::{ALL, Disks, append, appends, commit, create, id, small};
use durable_session::store::{DeleteIf, Expect, ListQuery, SessionList, SessionStore};
use futures_executor::block_on;
use redb::TableDefinition;
use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use testkit::disk::Failure;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const SECRET_ID: &str = "secret-id-of-the-damaged-session";
const SECRET_TEXT: &str = "secret text of a message";

/// Keeps all events of this process as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<String>>);

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {field}={value:?}").unwrap();
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        span.record(&mut Fields(&mut self.0.lock().unwrap()));
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Fields(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[test]
fn log_lines_and_errors_show_fingerprints_and_no_ids_or_messages() {
    hush();
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let (disks, s) = (Disks::default(), id(SECRET_ID));
    let open = || disks.reopenable(&small());
    let mut errors = Vec::new();
    block_on(async {
        let store = open();
        let head = create(&store, &s, &[SECRET_TEXT]).await;
        let head = append(&store, &s, head, &[SECRET_TEXT]).await;
        // A failing disk, and opening the store again.
        let disk = disks.log.disk();
        disk.fail(Some(Failure::once(disk.counts().operations + 1)));
        let more = commit(head.expect(), appends(&[SECRET_TEXT]));
        errors.push(store.commit(&s, more).await.unwrap_err());
        disk.fail(None);
        assert!(store.load(&s, ALL).await.unwrap().loaded().is_some());
        store.close().await.unwrap();
        errors.push(store.load(&s, ALL).await.unwrap_err());

        // A session without its head row: a contradiction, which poisons the store.
        let heads = TableDefinition::<u64, &[u8]>::new("durable-session.heads");
        disks.change(|txn| drop(txn.open_table(heads).unwrap().remove(1).unwrap().unwrap()));
        let store = open();
        errors.push(store.load(&s, ALL).await.unwrap_err());
        errors.extend(store.verify(|_| {}).await.unwrap().damage);
        let salvaged = store.salvage(&s, EVERYTHING).await.unwrap().unwrap();
        errors.extend(salvaged.damage.into_iter().map(|damage| damage.error));
        let listed = store.list(&ListQuery::all(9)).await.unwrap().sessions;
        errors.extend(listed.into_iter().filter_map(|listed| listed.head.err()));
        let creation = commit(Expect::absent(1), appends(&[SECRET_TEXT]));
        errors.push(store.commit(&s, creation).await.unwrap_err());
        errors.push(store.delete(&s, DeleteIf::Any).await.unwrap_err());
        let _ = store.close().await;
    });
    let texts: Vec<String> = errors.iter().map(|error| format!("{error} {error:?}")).collect();
    let logged = log.0.lock().unwrap().clone();
    assert!(logged.contains(&s.fingerprint().to_string()), "{logged}");
    for text in texts.iter().chain([&logged]) {
        assert!(!text.contains(SECRET_ID) && !text.contains(SECRET_TEXT), "{text}");
    }
}

//! Compaction: how long the file is afterwards.

use crate::support::{Disks, create, id};
use durable_session::store::{DeleteIf, SessionStore};
use futures_executor::block_on;

/// redb makes a file without free pages twice as long for the next change, even if that is small.
#[test]
fn a_file_that_was_compacted_is_as_short_once_the_store_is_closed() {
    let disks = Disks::default();
    let len = || disks.file.bytes().len();
    block_on(async {
        let store = disks.open();
        let body = "x".repeat(3_000);
        for n in 0..200 {
            create(&store, &id(&n.to_string()), &[&body]).await;
        }
        for n in 0..150 {
            store.delete(&id(&n.to_string()), DeleteIf::Any).await.unwrap();
        }
        store.compact().await.unwrap();
        let compacted = len();
        assert!((200_000..300_000).contains(&compacted), "{compacted} bytes");
        store.close().await.unwrap();
        assert!(len() < compacted + compacted / 10, "{compacted}, then {} bytes", len());
    });
}

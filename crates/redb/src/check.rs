//! Verification of the file that is open: redb's own check, over an overlay, so that the file is
//! only read.

use crate::backend::Storage;
use crate::error::{OpenError, guarded};
use crate::gate::Verdict;
use crate::overlay::Overlay;
use crate::shared_store::SharedStore;
use crate::writer::Queue;
use durable_session::store::{StoreError, StoreErrorKind};
use redb::Database;
use std::sync::Arc;

/// Every page is read once or twice, so that a large cache would hold pages in vain.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Reads the whole file and compares every page with its checksum.
///
/// redb may find the last commit incomplete and go back to the one before. That is no damage: a
/// flush never leaves such a commit, since it makes its pages durable first. Compactions and scrubs
/// do when they are killed, and they change no row.
pub(crate) fn verify_file(storage: Arc<Storage>) -> Result<(), OpenError> {
    let verify = || {
        let overlay = Overlay::over(storage)
            .map_err(|e| OpenError::io("the file cannot be read for its verification", e))?;
        let db = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(true)
            .create_with_backend(overlay)
            .map_err(OpenError::redb)?;
        db.close().map_err(OpenError::redb)
    };
    guarded(verify)
}

/// Verifies the file that is open, on a thread of its own.
pub(crate) fn start(shared: &Arc<SharedStore>, queue: &Arc<Queue>) {
    let round = shared.gate.begin(Verdict::Pending);
    let storage = shared.monitor.storage();
    let (verifying, waiting) = (Arc::clone(shared), Arc::clone(queue));
    let started =
        std::thread::Builder::new().name("durable-session-check".into()).spawn(move || {
            end(&verifying, round, verify_file(storage));
            waiting.attend();
        });
    if let Err(error) = started {
        let error = OpenError::io("the thread that verifies the file cannot be started", error);
        end(shared, round, Err(error));
        queue.attend();
    }
}

fn end(shared: &SharedStore, round: u64, verified: Result<(), OpenError>) {
    let verdict = match &verified {
        Ok(()) => Verdict::Sound,
        Err(OpenError::Damaged { damage, .. }) => Verdict::Refused(StoreError::new(
            StoreErrorKind::Corrupt,
            format!(
                "the file is damaged ({damage}), so more may be stored than is found; \
                 restore a backup, or read the rest: RedbStoreBuilder::open_read_only"
            ),
        )),
        Err(_) => Verdict::Refused(StoreError::new(
            StoreErrorKind::Unavailable,
            "the file could not be read for its verification, so more may be stored than is found",
        )),
    };
    let refusal = match &verdict {
        Verdict::Refused(error) if error.kind() == StoreErrorKind::Corrupt => Some(error.clone()),
        _ => None,
    };
    // Who waits for the verdict may close the store then, which tells of the damage.
    let poison = || {
        if let Some(error) = &refusal {
            shared.poison(error);
        }
    };
    if !shared.gate.end(round, verdict, poison) {
        return;
    }
    match verified {
        Err(OpenError::Damaged { .. }) => {}
        Err(error) => tracing::warn!(%error, "the file could not be verified"),
        Ok(()) => tracing::debug!("the file was verified"),
    }
}

//! A few connections for reads. Each takes several statements at a time, one behind the other.

use crate::connection::Connection;
use crate::shared::Shared;
use durable_session::store::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Pool {
    slots: Vec<Mutex<Option<Arc<Connection>>>>,
    next: AtomicUsize,
}

impl Pool {
    pub(crate) fn new(connections: usize) -> Self {
        let slots = (0..connections.max(1)).map(|_| Mutex::default()).collect();
        Self { slots, next: AtomicUsize::new(0) }
    }

    /// A connection, made if necessary.
    pub(crate) async fn connection(&self, shared: &Shared) -> Result<Arc<Connection>, StoreError> {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % self.slots.len();
        let mut slot = self.slots[at].lock().await;
        match &*slot {
            Some(connection) if !connection.is_closed() => Ok(connection.clone()),
            _ => {
                *slot = None;
                let connection = Arc::new(shared.connect().await?);
                *slot = Some(connection.clone());
                Ok(connection)
            }
        }
    }
}

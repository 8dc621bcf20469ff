//! One live value per session id.

use crate::SessionId;
use crate::sync::{Arc, Mutex, Weak};
use std::collections::HashMap;

/// The live values by session id: each as long as something holds it (clause C2).
pub(crate) struct Names<T>(Mutex<HashMap<SessionId, Weak<T>>>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Names<T> {
    /// The value of `id`, made if there is none.
    pub(crate) fn get(&self, id: SessionId, make: impl FnOnce(SessionId) -> T) -> Arc<T> {
        let mut map = self.0.lock();
        if let Some(value) = map.get(&id).and_then(Weak::upgrade) {
            return value;
        }
        let value = Arc::new(make(id.clone()));
        map.insert(id, Arc::downgrade(&value));
        value
    }

    /// The value of `id`, if there is one.
    pub(crate) fn find(&self, id: &SessionId) -> Option<Arc<T>> {
        self.0.lock().get(id).and_then(Weak::upgrade)
    }

    /// The value of `id` was dropped. A newer one may have taken its place already.
    pub(crate) fn forget(&self, id: &SessionId) {
        let mut map = self.0.lock();
        if map.get(id).is_some_and(|value| value.strong_count() == 0) {
            map.remove(id);
            if map.capacity() > 1024 && map.len() < map.capacity() / 8 {
                map.shrink_to_fit();
            }
        }
    }

    /// All values.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().values().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

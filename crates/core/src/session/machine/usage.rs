//! When a session was last used, and when that is written down (clause C10).

/// The uses of a session by reading.
#[derive(Debug, Default)]
pub(super) struct Usage {
    /// When a read last used the session.
    pub(super) accessed_at: u64,
    /// When a touch was last sent to the store.
    touched_at: u64,
    touch: Touch,
}

#[derive(Debug, Default)]
enum Touch {
    #[default]
    Idle,
    Due(u64),
    Sent(u64),
}

impl Usage {
    /// Notes a read at `now`. Returns whether a touch is due, or under way for long: if the last
    /// use that is written down, at `written` or by this registry, is an interval ago.
    pub(super) fn accessed(&mut self, written: u64, interval: u64, now: u64) -> bool {
        self.accessed_at = self.accessed_at.max(now);
        let due = now.saturating_sub(written.max(self.touched_at)) >= interval;
        if due && let Touch::Idle = self.touch {
            // The first read to notice writes it.
            self.touched_at = now;
            self.touch = Touch::Due(now);
        }
        due
    }

    /// The time to write down, if a touch is due.
    pub(super) fn send(&mut self) -> Option<u64> {
        let Touch::Due(at) = self.touch else { return None };
        self.touch = Touch::Sent(at);
        Some(at)
    }

    /// The touch that was sent has ended; returns the time that was written down. After a failure
    /// the next read tries again.
    pub(super) fn touched(&mut self, ok: bool) -> Option<u64> {
        let touch = std::mem::take(&mut self.touch);
        let Touch::Sent(at) = touch else {
            self.touch = touch;
            return None;
        };
        if !ok {
            self.touched_at = 0;
        }
        ok.then_some(at)
    }

    /// A use at `at` is written down.
    pub(super) fn written(&mut self, at: u64) {
        self.touched_at = self.touched_at.max(at);
    }
}

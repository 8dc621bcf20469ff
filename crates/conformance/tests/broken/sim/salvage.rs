//! Salvage.

use super::Sim;
use crate::defect::Defect;
use durable_session::SessionId;
use durable_session::store::{Damage, ReadQuery, Row, Salvaged, StoreError};

impl Sim {
    pub(super) fn salvage_at(
        &self,
        id: &SessionId,
        query: ReadQuery,
    ) -> Result<Option<Salvaged>, StoreError> {
        let disk = self.disk();
        let key = self.key(id);
        let mut stored = disk.live.get(&key);
        if self.has(Defect::SalvagesDeletedSessions) {
            stored = stored.or(disk.deleted.get(&key));
        }
        let Some(stored) = stored else { return Ok(None) };
        if self.has(Defect::NeedsAHeadToSalvage) {
            self.check_head(id, Some(stored))?;
        }
        let mut damage = Vec::new();
        if stored.head_damaged {
            damage.push(Damage { seq: None, error: self.corrupt(id, None) });
        }
        let (found, more) = match self.defect {
            Some(Defect::DoesNotCountDamageInSalvage) if query.first <= query.last => {
                let sound =
                    stored.rows.range(query.first..=query.last).filter(|(_, row)| !row.damaged);
                let sound = sound.map(|(&seq, row)| (seq, row));
                self.bounded(sound, query.max_messages, query.max_bytes)
            }
            _ => self.found(stored, query),
        };
        let (mut rows, mut replies) = (Vec::new(), Vec::new());
        for (seq, row) in found {
            if row.damaged {
                if self.has(Defect::StopsSalvageAtDamage) {
                    break;
                }
                let last = stored.rows.last_key_value().is_some_and(|(&last, _)| last == seq);
                if !(last && self.has(Defect::ForgetsTheLastDamageInSalvage)) {
                    damage.push(Damage { seq: Some(seq), error: self.corrupt(id, Some(seq)) });
                }
            } else {
                rows.push(Row { seq, body: row.body.clone() });
            }
            let Some(reply) = stored.replies.get(&seq) else { continue };
            if let Some(offset) = reply.damage_of_counts() {
                if !self.has(Defect::ForgetsDamagedRepliesInSalvage) {
                    let error = self.corrupt_chunk(id, seq, offset);
                    damage.push(Damage { seq: Some(seq), error });
                }
            } else if !self.has(Defect::ForgetsRepliesInSalvage) {
                replies.push(self.named(reply, seq));
            }
        }
        replies.sort_by_key(|reply| reply.seq);
        let sound = !stored.head_damaged;
        let app =
            (sound && !self.has(Defect::ForgetsTheAppStateInSalvage)).then(|| stored.app.clone());
        let labels =
            (sound && !self.has(Defect::ForgetsLabelsInSalvage)).then(|| stored.labels.clone());
        let head = sound.then(|| stored.head.salted(disk.salt));
        Ok(Some(Salvaged { head, labels, app, rows, replies, damage, more }))
    }
}

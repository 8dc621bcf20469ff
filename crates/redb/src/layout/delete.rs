//! Deletes and touches.

use super::draft::Draft;
use super::find::{self, Found, labels_of};
use super::lists::{key_of_open_replies, keys_by_scan, list_open_replies, list_owner};
use super::replies::Beside;
use crate::error::Fault;
use crate::tables::{Heads, Ids, Lists, Rows};
use durable_session::SessionId;
use durable_session::rows;
use durable_session::store::{DeleteIf, DeleteOutcome, Head};

impl Draft<'_> {
    /// Raises `last_accessed_at`; says whether it wrote anything.
    pub(crate) fn touch(&mut self, id: &SessionId, at: u64) -> Result<bool, Fault> {
        let take = |row: &rows::HeadRow<'_>| (row.app.to_vec(), row.labels());
        let Some((found, (app, labels))) = find::find(&self.view, id, take)? else {
            return Ok(false);
        };
        let Found { number, stored, current } = found;
        if at <= current.last_accessed_at {
            return Ok(false);
        }
        self.known.forget(id);
        // The head as stored: the newest message row goes on carrying what was appended since.
        let head = Head { last_accessed_at: at, ..stored };
        let row = |out: &mut Vec<u8>| rows::write_head(out, number, id, &head, &labels, &app);
        self.stage.put::<Heads>(number, row);
        Ok(true)
    }

    pub(crate) fn delete(
        &mut self,
        id: &SessionId,
        condition: DeleteIf,
    ) -> Result<DeleteOutcome, Fault> {
        let view = &self.view;
        let (number, known) = match (condition, find::find(view, id, labels_of)) {
            (_, Ok(None)) => return Ok(DeleteOutcome::Absent),
            (_, Ok(Some((found, labels)))) => {
                let current = found.current;
                let holds = match condition {
                    DeleteIf::Version(version) => version.salted(self.salt) == current.version,
                    DeleteIf::IdleSince(since) => current.last_accessed_at <= since,
                    DeleteIf::Any => true,
                };
                if !holds {
                    return Ok(DeleteOutcome::Conflict {
                        current: current.version.salted(self.salt),
                    });
                }
                (Some(found.number), Some((labels, current)))
            }
            // What cannot be read need not be known.
            (DeleteIf::Any, Err(Fault::Refused(_))) => {
                let number = match find::number(view, id) {
                    Err(Fault::Refused(_)) => find::number_by_scan(view, id)?,
                    number => number?,
                };
                (number, None)
            }
            (_, Err(fault)) => return Err(fault),
        };
        let beside = match number {
            Some(number) => Beside::of(view, number, 0, u64::MAX)?,
            None => Beside::default(),
        };
        let listed = match known {
            Some(_) => view.has::<Lists>(&key_of_open_replies(id))?,
            None => false,
        };
        let scanned = if known.is_none() { keys_by_scan(view, id)? } else { Vec::new() };

        self.known.forget(id);
        let stage = &mut self.stage;
        let key = find::key(id);
        stage.remove::<Ids>(key.clone(), &key);
        if let Some(number) = number {
            stage.remove::<Heads>(number, &number);
            stage.remove::<Rows>((number, 0), &(number, u64::MAX));
            beside.remove(stage, number, 0, u64::MAX);
        }
        if let Some((labels, head)) = &known {
            list_owner(stage, id, Some((labels, head)), None);
        }
        if listed {
            list_open_replies(stage, id, false);
        }
        for key in scanned {
            stage.remove::<Lists>(key.clone(), &key);
        }
        Ok(DeleteOutcome::Deleted)
    }
}

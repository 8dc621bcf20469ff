//! Listings.

use super::Sim;
use super::disk::Stored;
use crate::defect::Defect;
use durable_session::SessionId;
use durable_session::store::{
    Labels, ListOrder, ListPage, ListPlace, ListQuery, ListScope, ListedSession, StoreError,
};
use std::cmp::Reverse;

impl Sim {
    pub(super) fn list_page(&self, query: &ListQuery) -> Result<ListPage, StoreError> {
        let disk = self.disk();
        let nothing = ListPage { sessions: Vec::new(), next: None };
        if self.has(Defect::ListsNothingAfterReopen) && disk.reopened {
            return Ok(nothing);
        }
        let cursor_is_gone =
            query.after.as_ref().is_some_and(|after| !disk.live.contains_key(&after.id));
        if cursor_is_gone && self.has(Defect::LosesAListingWhoseCursorIsGone) {
            return Ok(nothing);
        }
        let mut sessions = disk.live.clone();
        if self.has(Defect::ListsDeletedSessions) {
            sessions.extend(disk.deleted.clone());
        }
        let mut wanted = Vec::new();
        for (id, stored) in sessions {
            let taken = stored.head_damaged || self.takes(query, &stored);
            if !(self.belongs(query, &id, &stored, disk.reopened)
                && self.follows(query, &id, &stored)
                && taken)
            {
                continue;
            }
            let head = match (stored.head_damaged, self.defect) {
                (true, Some(Defect::HidesDamagedSessionsFromListings)) => continue,
                (true, Some(Defect::FailsListingsOnDamage)) => return Err(self.corrupt(&id, None)),
                (true, _) => Err(self.corrupt(&id, None)),
                (false, Some(Defect::ListsOldHeads)) => Ok(stored.first_head.salted(disk.salt)),
                (false, _) => Ok(stored.head.salted(disk.salt)),
            };
            let hides = stored.head_damaged || self.has(Defect::ListsWithoutLabels);
            let labels = if hides { Labels::NONE } else { stored.labels.clone() };
            wanted.push(ListedSession { id, head, labels });
        }
        self.put_in_order(query, &mut wanted);
        Ok(self.cut(query, wanted))
    }

    fn belongs(&self, query: &ListQuery, id: &SessionId, stored: &Stored, reopened: bool) -> bool {
        let text = id.as_str();
        match &query.scope {
            ListScope::Prefix(prefix) => match self.defect {
                Some(Defect::IgnoresThePrefix) => true,
                Some(Defect::MatchesPrefixesAsPatterns) => like(text.as_bytes(), prefix.as_bytes()),
                _ => text.starts_with(&**prefix),
            },
            ListScope::Owner(_) if stored.head_damaged => false,
            ListScope::Owner(owner) => {
                let is = stored.labels.get_owner();
                match self.defect {
                    Some(Defect::IgnoresTheOwner) => is.is_some(),
                    Some(Defect::ListsOwnersByPrefix) => {
                        is.is_some_and(|is| is.starts_with(&**owner))
                    }
                    Some(Defect::FoldsTheCaseOfOwners) => {
                        is.is_some_and(|is| is.eq_ignore_ascii_case(owner))
                    }
                    Some(Defect::KeepsSessionsWithTheirFirstOwner) => {
                        is == Some(&**owner) || stored.earlier_owners.contains(&**owner)
                    }
                    Some(Defect::ListsSessionsWithoutAnOwner) => is.is_none_or(|is| is == &**owner),
                    _ => is == Some(&**owner),
                }
            }
            ListScope::OpenReplies => match self.defect {
                Some(Defect::ListsEndedRepliesAsOpen) => {
                    !stored.replies.is_empty() || !stored.ended.is_empty()
                }
                Some(Defect::MissesRepliesWithoutChunks) => {
                    stored.replies.values().any(|reply| !reply.rows.is_empty())
                }
                Some(Defect::MissesReopenedReplies) => {
                    stored.replies.keys().any(|seq| !stored.ended.contains_key(seq))
                }
                Some(Defect::MissesOpenRepliesAfterReopen) if reopened => false,
                _ => !stored.replies.is_empty(),
            },
            _ => true,
        }
    }

    fn takes(&self, query: &ListQuery, stored: &Stored) -> bool {
        let mut query = query.clone();
        match self.defect {
            Some(Defect::IgnoresTheTimeOfListings) => query.idle_since = None,
            Some(Defect::IgnoresChangedSince) => query.changed_since = None,
            Some(Defect::ListsOnlyChangesAfterChangedSince) => {
                query.changed_since = query.changed_since.map(|time| time + 1);
            }
            Some(Defect::ComparesChangedSinceWithTheLastUse) => {
                let since = query.changed_since.take();
                if since.is_some_and(|time| stored.head.last_accessed_at < time) {
                    return false;
                }
            }
            _ => {}
        }
        query.takes(&stored.head)
    }

    fn follows(&self, query: &ListQuery, id: &SessionId, stored: &Stored) -> bool {
        let Some(after) = &query.after else { return true };
        let changed_at = stored.head.changed_at;
        match (self.defect, query.order) {
            (Some(Defect::RepeatsOneBetweenPagesOfAListing), ListOrder::ById) => *id >= after.id,
            (Some(Defect::RepeatsOneBetweenPagesOfAnOwner), ListOrder::NewestFirst) => {
                *id == after.id || query.is_after(id, changed_at)
            }
            (Some(Defect::SkipsEqualTimesBetweenPages), ListOrder::NewestFirst) => {
                changed_at < after.changed_at
            }
            (Some(Defect::GoesOnByIdBetweenPagesOfAnOwner), ListOrder::NewestFirst) => {
                *id > after.id
            }
            (
                Some(Defect::ListsNewestFirstById | Defect::ListsOldestFirst),
                ListOrder::NewestFirst,
            ) => {
                let place = (after.changed_at, &after.id);
                match self.defect {
                    Some(Defect::ListsOldestFirst) => (changed_at, id) > place,
                    _ => *id > after.id,
                }
            }
            _ => query.is_after(id, changed_at),
        }
    }

    fn put_in_order(&self, query: &ListQuery, sessions: &mut [ListedSession]) {
        let changed_at =
            |session: &ListedSession| session.head.as_ref().map_or(0, |head| head.changed_at);
        let newest_first = match (self.defect, query.order) {
            (Some(Defect::ListsNewestFirstById), _) => false,
            (Some(Defect::IgnoresTheOrderById), ListOrder::ById) => {
                matches!(query.scope, ListScope::Owner(_))
            }
            (_, order) => order == ListOrder::NewestFirst,
        };
        if !newest_first {
            return;
        }
        match self.defect {
            Some(Defect::ListsOldestFirst) => sessions.sort_by_key(changed_at),
            Some(Defect::ListsLastUsedFirst) => sessions.sort_by_key(|session| {
                Reverse(session.head.as_ref().map_or(0, |head| head.last_accessed_at))
            }),
            Some(Defect::ListsLastCreatedFirst) => sessions.sort_by_key(|session| {
                Reverse(session.head.as_ref().map_or(0, |head| head.created_at))
            }),
            Some(Defect::ReversesEqualTimes) => {
                sessions.sort_by_key(|session| Reverse((changed_at(session), session.id.clone())));
            }
            // The sort is stable: sessions with equal times stay ordered by id.
            _ => sessions.sort_by_key(|session| Reverse(changed_at(session))),
        }
    }

    fn cut(&self, query: &ListQuery, mut sessions: Vec<ListedSession>) -> ListPage {
        let place = |session: &ListedSession| {
            let changed_at = session.head.as_ref().map_or(0, |head| head.changed_at);
            ListPlace { changed_at, id: session.id.clone() }
        };
        let limit = query.limit.max(1) + usize::from(self.has(Defect::OverfillsListings));
        let more = sessions.len() > limit;
        let beyond = sessions.get(limit).map(place);
        sessions.truncate(limit);
        let last = sessions.last().map(place);
        if self.has(Defect::ReversesListings) {
            sessions.reverse();
        }
        let of_an_owner = matches!(query.scope, ListScope::Owner(_));
        let next = match self.defect {
            Some(Defect::EndsListingsEarly) => None,
            Some(Defect::EndsListingsOfOpenRepliesEarly)
                if query.scope == ListScope::OpenReplies =>
            {
                None
            }
            Some(Defect::SkipsOneBetweenPagesOfAListing) if !of_an_owner => beyond,
            Some(Defect::SkipsOneBetweenPagesOfAnOwner) if of_an_owner => beyond,
            _ => last,
        };
        ListPage { sessions, next: next.filter(|_| more) }
    }
}

/// Matches as `LIKE` and `GLOB` do with a prefix that was not escaped.
fn like(text: &[u8], pattern: &[u8]) -> bool {
    match (pattern, text) {
        ([], _) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| like(&text[skip..], rest)),
        ([b'_', rest @ ..], [_, text @ ..]) => like(text, rest),
        ([a, rest @ ..], [b, text @ ..]) => a == b && like(text, rest),
        ([_, ..], []) => false,
    }
}

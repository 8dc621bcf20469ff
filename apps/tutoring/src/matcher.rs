//! Ranks the tutors by how well they fit the criteria.

use crate::search::minutes;
use crate::tutors::{Entry, SKILLS, TUTORS};
use crate::types::{SearchCriteria, Slot, TutorMatch};
use serde_json::Map;

const OFFERED: usize = 3;
const NEAR_MINUTES: u32 = 60;

// In hundredths, so that scores are exact sums. A tutor without the skill is never offered.
const SKILL: u32 = 40;
const DAY: u32 = 25;
const TIME: u32 = 20;
const TIME_NEAR: u32 = 10;
const MODE: u32 = 15;

/// The best tutors for the criteria, each with their best slot, best first; none when nobody
/// teaches the skill.
///
/// A criterion that is absent fits every slot. Equal scores keep the order of the list.
pub fn find_tutors(criteria: &SearchCriteria) -> Vec<TutorMatch> {
    let teaches = |entry: &&Entry| entry.skills.contains(&criteria.skill.as_str());
    let mut found: Vec<_> =
        TUTORS.iter().filter(teaches).filter_map(|entry| best_slot(entry, criteria)).collect();
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().take(OFFERED).map(|(_, offer)| offer).collect()
}

/// How a skill is written in a sentence.
pub(crate) fn shown(skill: &str) -> &str {
    SKILLS.iter().find(|known| known.id == skill).map_or(skill, |known| known.shown)
}

/// A slot in a sentence: `Monday at 10:00, online`.
pub(crate) fn slot_in_words(slot: &Slot) -> String {
    let mode = if slot.mode == crate::tutors::IN_PERSON { "in person" } else { &slot.mode };
    format!("{} at {}, {mode}", slot.day, slot.time)
}

fn best_slot(entry: &Entry, criteria: &SearchCriteria) -> Option<(u32, TutorMatch)> {
    let mut best: Option<(Fit, Slot)> = None;
    for &(day, time, mode) in entry.slots {
        let fit = Fit::of(criteria, day, time, mode);
        if best.as_ref().is_none_or(|(old, _)| fit.score() > old.score()) {
            let slot =
                Slot { day: day.into(), time: time.into(), mode: mode.into(), other: Map::new() };
            best = Some((fit, slot));
        }
    }
    let (fit, slot) = best?;
    let score = fit.score();
    let reason = fit.reason(criteria, &slot);
    Some((
        score,
        TutorMatch {
            tutor: entry.tutor(),
            slot,
            score: f64::from(score) / 100.0,
            reason,
            other: Map::new(),
        },
    ))
}

/// How well one slot fits, in points of each criterion.
struct Fit {
    day: u32,
    time: u32,
    mode: u32,
}

impl Fit {
    fn of(criteria: &SearchCriteria, day: &str, time: &str, mode: &str) -> Self {
        let same = |wanted: &Option<String>, offered: &str, points: u32| match wanted {
            Some(wanted) if !wanted.eq_ignore_ascii_case(offered) => 0,
            _ => points,
        };
        Self {
            day: same(&criteria.day, day, DAY),
            time: criteria.time.as_deref().map_or(TIME, |wanted| time_points(wanted, time)),
            mode: same(&criteria.mode, mode, MODE),
        }
    }

    fn score(&self) -> u32 {
        SKILL + self.day + self.time + self.mode
    }

    fn reason(&self, criteria: &SearchCriteria, slot: &Slot) -> String {
        let mut reason =
            format!("Teaches {} and is free on {}.", shown(&criteria.skill), slot_in_words(slot));
        let missed: Vec<_> = [
            (self.day, DAY, &criteria.day),
            (self.time, TIME, &criteria.time),
            (self.mode, MODE, &criteria.mode),
        ]
        .into_iter()
        .filter(|(points, full, _)| points < full)
        .filter_map(|(_, _, wanted)| wanted.as_deref())
        .collect();
        if !missed.is_empty() {
            reason.push_str(" You asked for ");
            reason.push_str(&missed.join(", "));
            reason.push_str(": this is the closest there is.");
        }
        reason
    }
}

fn time_points(wanted: &str, offered: &str) -> u32 {
    let Some(offered) = minutes(offered) else { return 0 };
    let within = match wanted {
        "morning" => offered < 12 * 60,
        "afternoon" => (12 * 60..17 * 60).contains(&offered),
        "evening" => offered >= 17 * 60,
        exact => match minutes(exact).map(|wanted| wanted.abs_diff(offered)) {
            Some(0) => true,
            Some(apart) if apart <= NEAR_MINUTES => return TIME_NEAR,
            _ => false,
        },
    };
    if within { TIME } else { 0 }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "scores are hundredths, made the same way")]
mod tests {
    use super::{Map, SearchCriteria, find_tutors};

    fn criteria(
        skill: &str,
        day: Option<&str>,
        time: Option<&str>,
        mode: Option<&str>,
    ) -> SearchCriteria {
        let own = |text: Option<&str>| text.map(Into::into);
        SearchCriteria {
            skill: skill.into(),
            day: own(day),
            time: own(time),
            mode: own(mode),
            other: Map::new(),
        }
    }

    #[test]
    fn the_skill_alone_fits_in_full_and_keeps_the_order_of_the_list() {
        let found = find_tutors(&criteria("python", None, None, None));
        let names: Vec<_> = found.iter().map(|one| one.tutor.name.as_str()).collect();
        assert_eq!(names, ["Amara Okafor", "Bruno Castellanos", "Elias Lindqvist"]);
        assert!(found.iter().all(|one| one.score == 1.0));
        assert_eq!(found[0].reason, "Teaches Python and is free on Monday at 10:00, online.");
        assert_eq!(found[0].tutor.modes, ["online", "in-person"]);
    }

    #[test]
    fn nobody_is_offered_for_a_skill_that_nobody_teaches() {
        assert!(find_tutors(&criteria("cobol", None, None, None)).is_empty());
        assert!(find_tutors(&SearchCriteria::default()).is_empty());
    }

    #[test]
    fn the_best_slot_of_each_tutor_counts() {
        let found =
            find_tutors(&criteria("python", Some("wednesday"), Some("morning"), Some("online")));
        assert_eq!(found[0].tutor.name, "Elias Lindqvist");
        assert_eq!(found[0].score, 1.0);
        assert_eq!(found[1].tutor.name, "Amara Okafor");
        assert_eq!((found[1].slot.day.as_str(), found[1].score), ("Monday", 0.75));
        assert_eq!(
            found[1].reason,
            "Teaches Python and is free on Monday at 10:00, online. \
             You asked for wednesday: this is the closest there is."
        );
    }

    #[test]
    fn a_time_nearby_is_better_than_one_far_away() {
        let near = find_tutors(&criteria("writing", Some("Thursday"), Some("14:30"), None));
        assert_eq!((near[0].slot.day.as_str(), near[0].score), ("Thursday", 0.9));
        let far = find_tutors(&criteria("writing", Some("Thursday"), Some("08:00"), None));
        assert_eq!((far[0].slot.day.as_str(), far[0].score), ("Thursday", 0.8));
        assert_eq!(find_tutors(&criteria("writing", None, Some("whenever"), None))[0].score, 0.8);
    }

    #[test]
    fn a_mode_nobody_has_costs_points_only() {
        let found = find_tutors(&criteria("c++", Some("Tuesday"), None, Some("in-person")));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].slot.day.as_str(), found[0].score), ("Tuesday", 0.85));
    }
}

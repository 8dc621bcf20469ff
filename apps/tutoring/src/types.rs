//! The app state: camelCase JSON. Fields of a newer app version are kept unchanged.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The app's fields of a session's state.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tutoring {
    /// The match that was offered last.
    pub pending_match: Option<TutorMatch>,
    /// The criteria of the last search.
    pub last_search_criteria: Option<SearchCriteria>,
    /// The results of the last search, best first.
    pub available_tutors_list: Vec<TutorMatch>,
    /// The booking under way, or the last completed booking.
    pub booking_info: Option<BookingInfo>,
}

/// The criteria of a search.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchCriteria {
    /// A skill that is taught, such as `python`.
    pub skill: String,
    /// A day of the week, such as `Monday`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// `HH:MM`, or `morning`, `afternoon`, `evening`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// `online` or `in-person`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A tutor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tutor {
    /// The tutor's permanent id.
    pub id: String,
    /// The tutor's name.
    pub name: String,
    /// The taught skills.
    #[serde(default)]
    pub skills: Vec<String>,
    /// The ways to meet: `online`, `in-person`.
    #[serde(default)]
    pub modes: Vec<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A time to meet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Slot {
    /// A day of the week.
    pub day: String,
    /// `HH:MM`.
    pub time: String,
    /// `online` or `in-person`.
    pub mode: String,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A tutor offered for a slot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TutorMatch {
    /// The offered tutor.
    pub tutor: Tutor,
    /// The offered time and way to meet.
    pub slot: Slot,
    /// How well it fits, from 0 to 1.
    pub score: f64,
    /// Why it was offered, in words.
    pub reason: String,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A booking, as far as it has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookingInfo {
    /// The student's name, empty until it is given.
    #[serde(default)]
    pub student_name: String,
    /// The student's email address, empty until it is given.
    #[serde(default)]
    pub student_email: String,
    /// The student's college address, empty until it is given.
    #[serde(default)]
    pub ccsf_email: String,
    /// The student id, when one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub student_id: Option<String>,
    /// Whether others may join.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_other_students: Option<bool>,
    /// The classes the help is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The help that the student asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub specific_help: Option<String>,
    /// Anything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_notes: Option<String>,
    /// The time that is being booked.
    pub slot: Slot,
    /// The booked offer; later offers do not change it. Absent in bookings that were stored before
    /// this field existed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tutor_match: Option<TutorMatch>,
    /// The question that comes next.
    pub step: Step,
    /// Fields that this version does not know.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The questions of a booking, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Name and address.
    #[default]
    NameEmail,
    /// College address.
    CcsfEmail,
    /// Student id, optional.
    StudentId,
    /// Whether others may join.
    AllowOthers,
    /// Classes, optional.
    Classes,
    /// The help that the student asks for.
    SpecificHelp,
    /// Anything else, optional.
    AdditionalNotes,
    /// Nothing left to ask.
    Complete,
}

#[cfg(test)]
mod tests {
    use super::{BookingInfo, SearchCriteria, Step, TutorMatch, Tutoring};
    use serde_json::json;

    #[test]
    fn a_new_state_has_the_shape_of_the_protocol() {
        assert_eq!(
            serde_json::to_value(Tutoring::default()).unwrap(),
            json!({
                "pendingMatch": null, "lastSearchCriteria": null, "availableTutorsList": [],
                "bookingInfo": null
            })
        );
    }

    #[test]
    fn absent_fields_stay_absent_and_unknown_ones_are_kept() {
        let booking = json!({
            "studentName": "Sam", "studentEmail": "sam@example.com", "ccsfEmail": "",
            "slot": {"day": "Monday", "time": "10:00", "mode": "online", "room": null},
            "step": "ccsf-email", "newer": {"big": 18_446_744_073_709_551_615_u64}
        });
        let read: BookingInfo = serde_json::from_value(booking.clone()).unwrap();
        assert_eq!(read.step, Step::CcsfEmail);
        assert_eq!(serde_json::to_value(read).unwrap(), booking);

        let mut booking = booking;
        booking["tutorMatch"] = json!({
            "tutor": {"id": "t", "name": "T", "skills": [], "modes": ["online"], "photo": "p.png"},
            "slot": {"day": "Monday", "time": "10:00", "mode": "online"},
            "score": 0.5, "reason": "", "rank": 1
        });
        let read: BookingInfo = serde_json::from_value(booking.clone()).unwrap();
        assert_eq!(read.tutor_match.as_ref().unwrap().tutor.name, "T");
        assert_eq!(serde_json::to_value(read).unwrap(), booking);

        let found = json!({
            "tutor": {"id": "t", "name": "T", "skills": [], "modes": [], "photo": "p.png"},
            "slot": {"day": "Monday", "time": "10:00", "mode": "online"},
            "score": 0.5, "reason": "", "rank": 1
        });
        let read: TutorMatch = serde_json::from_value(found.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), found);

        let criteria = json!({"skill": "python", "day": "Monday", "level": 2});
        let read: SearchCriteria = serde_json::from_value(criteria.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), criteria);
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let slot = json!({"day": "Monday", "time": "10:00", "mode": "online"});
        for bad in [
            json!({"slot": slot, "step": "no-such-step"}),
            json!({"slot": slot}),
            json!({"step": "classes"}),
            json!({"slot": slot, "step": "classes", "tutorMatch": "Ada"}),
            json!(3),
        ] {
            assert!(serde_json::from_value::<BookingInfo>(bad.clone()).is_err(), "{bad}");
        }
        assert!(serde_json::from_value::<SearchCriteria>(json!({"skill": 7})).is_err());
        assert!(serde_json::from_value::<TutorMatch>(json!("Ada")).is_err());
        assert!(serde_json::from_value::<Tutoring>(json!({"availableTutorsList": {}})).is_err());
    }
}

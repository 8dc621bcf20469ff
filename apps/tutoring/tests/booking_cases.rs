//! The form in the browser and this crate accept the same answers: both are held to
//! `booking-cases.json`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: a case that cannot be read fails it"
)]

use serde::Deserialize;
use serde_json::Value;
use tutoring::booking::Answer;
use tutoring::{BookingInfo, Step};

#[derive(Deserialize)]
struct Case {
    step: Step,
    answer: Value,
    accepted: bool,
    #[serde(default)]
    stored: Value,
}

fn answer(step: Step, given: &Value) -> Answer {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    match step {
        Step::NameEmail => Answer::NameEmail {
            name: text(&given["studentName"]),
            email: text(&given["studentEmail"]),
        },
        Step::CcsfEmail => Answer::CcsfEmail(text(given)),
        Step::StudentId => Answer::StudentId(text(given)),
        Step::AllowOthers => Answer::AllowOthers(given.as_bool().unwrap()),
        Step::Classes => Answer::Classes(given.as_array().unwrap().iter().map(text).collect()),
        Step::SpecificHelp => Answer::SpecificHelp(text(given)),
        Step::AdditionalNotes => Answer::AdditionalNotes(text(given)),
        Step::Complete => panic!("complete asks nothing"),
    }
}

#[test]
fn answers_are_accepted_and_stored_as_the_cases_say() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("booking-cases.json")).unwrap();
    for case in &cases {
        let before = BookingInfo { step: case.step, ..BookingInfo::default() };
        let result = before.answered(answer(case.step, &case.answer));
        assert_eq!(result.is_ok(), case.accepted, "{:?} {}", case.step, case.answer);
        let Ok(after) = result else { continue };
        assert_eq!(after.step, case.step.next());
        let stored = serde_json::to_value(after).unwrap();
        for (field, value) in case.stored.as_object().unwrap() {
            assert_eq!(
                stored.get(field).unwrap_or(&Value::Null),
                value,
                "{:?} {}",
                case.step,
                case.answer
            );
        }
    }
    for step in Step::ALL.into_iter().filter(|&step| step != Step::Complete) {
        assert!(cases.iter().any(|case| case.step == step && case.accepted), "{step:?}");
    }
}

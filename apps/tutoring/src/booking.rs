//! The booking: its questions, in order, and the checks of the answers.

use crate::search::Words;
use crate::types::{BookingInfo, Step, TutorMatch};

const LONGEST_NAME: usize = 100;
const LONGEST_EMAIL: usize = 254;
const LONGEST_CLASS: usize = 80;
const LONGEST_TEXT: usize = 2000;
const MOST_CLASSES: usize = 10;
const COLLEGE: [&str; 2] = ["@mail.ccsf.edu", "@ccsf.edu"];

/// Why an answer was not accepted, in words for the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(&'static str);

/// An answer to one step's question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Step::NameEmail`].
    NameEmail {
        /// The student's name.
        name: String,
        /// The student's email address.
        email: String,
    },
    /// To [`Step::CcsfEmail`].
    CcsfEmail(String),
    /// To [`Step::StudentId`]; empty for none.
    StudentId(String),
    /// To [`Step::AllowOthers`].
    AllowOthers(bool),
    /// To [`Step::Classes`]; empty for none.
    Classes(Vec<String>),
    /// To [`Step::SpecificHelp`].
    SpecificHelp(String),
    /// To [`Step::AdditionalNotes`]; empty for none.
    AdditionalNotes(String),
}

impl Step {
    /// All steps in order.
    pub const ALL: [Self; 8] = [
        Self::NameEmail,
        Self::CcsfEmail,
        Self::StudentId,
        Self::AllowOthers,
        Self::Classes,
        Self::SpecificHelp,
        Self::AdditionalNotes,
        Self::Complete,
    ];

    /// The step after this one; the last stays.
    pub fn next(self) -> Self {
        Self::ALL.into_iter().find(|&step| step > self).unwrap_or(Self::Complete)
    }

    /// The step before this one; the first stays.
    pub fn previous(self) -> Self {
        Self::ALL.into_iter().rev().find(|&step| step < self).unwrap_or(Self::NameEmail)
    }

    /// The question to ask.
    pub fn question(self) -> &'static str {
        match self {
            Self::NameEmail => "What is your name, and the email address to reach you at?",
            Self::CcsfEmail => "What is your CCSF email address?",
            Self::StudentId => "What is your student ID? You can skip this.",
            Self::AllowOthers => "May other students join the session? Yes or no?",
            Self::Classes => "Which classes is this for? Separate them with commas, or skip.",
            Self::SpecificHelp => "What do you need help with in particular?",
            Self::AdditionalNotes => {
                "Is there anything else your tutor should know? You can skip this."
            }
            Self::Complete => "Your booking is complete.",
        }
    }
}

impl BookingInfo {
    /// A booking of this offer with nothing answered yet.
    pub fn start(offer: TutorMatch) -> Self {
        Self { slot: offer.slot.clone(), tutor_match: Some(offer), ..Self::default() }
    }

    /// True while there is a question left.
    pub fn is_open(&self) -> bool {
        self.step != Step::Complete
    }

    /// The booking with this answer, at the next step. Answers to another step's question are
    /// refused, so that a form that is behind cannot skip one.
    ///
    /// # Errors
    /// [`Refused`] says why the answer is not accepted.
    pub fn answered(&self, answer: Answer) -> Result<Self, Refused> {
        let mut next = self.clone();
        match (self.step, answer) {
            (Step::NameEmail, Answer::NameEmail { name, email }) => {
                next.student_name = filled(
                    &name,
                    LONGEST_NAME,
                    "Please give your name, in at most 100 characters.",
                )?;
                next.student_email = email_address(&email)?;
            }
            (Step::CcsfEmail, Answer::CcsfEmail(email)) => {
                next.ccsf_email = college_address(&email)?;
            }
            (Step::StudentId, Answer::StudentId(id)) => next.student_id = student_id(&id)?,
            (Step::AllowOthers, Answer::AllowOthers(allow)) => {
                next.allow_other_students = Some(allow);
            }
            (Step::Classes, Answer::Classes(classes)) => next.classes = Some(class_list(&classes)?),
            (Step::SpecificHelp, Answer::SpecificHelp(help)) => {
                let why = "Please say what you need help with, in at most 2000 characters.";
                next.specific_help = Some(filled(&help, LONGEST_TEXT, why)?);
            }
            (Step::AdditionalNotes, Answer::AdditionalNotes(notes)) => {
                let notes = notes.trim();
                next.additional_notes = (!notes.is_empty())
                    .then(|| {
                        filled(
                            notes,
                            LONGEST_TEXT,
                            "Please keep your notes to at most 2000 characters.",
                        )
                    })
                    .transpose()?;
            }
            (Step::Complete, _) => return Err(Refused("This booking is complete already.")),
            _ => return Err(Refused("That answers another question.")),
        }
        next.step = self.step.next();
        Ok(next)
    }

    /// Reads a line of chat as the answer to the current question.
    ///
    /// # Errors
    /// [`Refused`] says how to answer.
    pub fn read_answer(&self, text: &str) -> Result<Answer, Refused> {
        let text = text.trim();
        let optional = || if skips(text) { String::new() } else { text.to_owned() };
        Ok(match self.step {
            Step::NameEmail => name_and_email(text)?,
            Step::CcsfEmail => Answer::CcsfEmail(text.to_owned()),
            Step::StudentId => Answer::StudentId(optional()),
            Step::AllowOthers => Answer::AllowOthers(yes_or_no(text)?),
            Step::Classes => {
                Answer::Classes(optional().split([',', ';', '\n']).map(Into::into).collect())
            }
            Step::SpecificHelp => Answer::SpecificHelp(text.to_owned()),
            Step::AdditionalNotes => Answer::AdditionalNotes(optional()),
            Step::Complete => return Err(Refused("This booking is complete already.")),
        })
    }
}

fn filled(text: &str, longest: usize, why: &'static str) -> Result<String, Refused> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > longest {
        Err(Refused(why))
    } else {
        Ok(text.to_owned())
    }
}

/// Checks for one `@`, with a name before it and a dotted name after it.
fn email_address(text: &str) -> Result<String, Refused> {
    const WHY: Refused = Refused("Please give an email address such as sam@example.com.");
    let text = text.trim();
    let (local, domain) = text.split_once('@').ok_or(WHY)?;
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '@' | ',' | ';' | '<' | '>');
    let dotted = domain.contains('.') && domain.split('.').all(|part| !part.is_empty());
    if local.is_empty()
        || !dotted
        || local.contains(odd)
        || domain.contains(odd)
        || text.len() > LONGEST_EMAIL
    {
        return Err(WHY);
    }
    Ok(text.to_owned())
}

fn college_address(text: &str) -> Result<String, Refused> {
    const WHY: Refused =
        Refused("Please give a CCSF address, one that ends in @mail.ccsf.edu or @ccsf.edu.");
    let address = email_address(text).map_err(|_| WHY)?;
    let lower = address.to_ascii_lowercase();
    if COLLEGE.iter().any(|end| lower.ends_with(end)) { Ok(address) } else { Err(WHY) }
}

/// Eight digits, with or without `W` or `@` before them.
fn student_id(text: &str) -> Result<Option<String>, Refused> {
    let id = text.trim().to_ascii_uppercase();
    let digits = id.strip_prefix(['W', '@']).unwrap_or(&id);
    if id.is_empty() {
        Ok(None)
    } else if digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit()) {
        Ok(Some(id))
    } else {
        Err(Refused(
            "A student ID is a W and eight digits, such as W12345678. You can also skip it.",
        ))
    }
}

fn class_list(classes: &[String]) -> Result<Vec<String>, Refused> {
    let named: Vec<_> =
        classes.iter().map(|class| class.trim()).filter(|class| !class.is_empty()).collect();
    if named.len() > MOST_CLASSES || named.iter().any(|class| class.chars().count() > LONGEST_CLASS)
    {
        return Err(Refused("Please name at most ten classes, each in at most 80 characters."));
    }
    Ok(named.into_iter().map(Into::into).collect())
}

fn name_and_email(text: &str) -> Result<Answer, Refused> {
    const WHY: Refused =
        Refused("Please give your name and your email address, such as: Sam Lee, sam@example.com.");
    let breaks = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '<' | '>' | '(' | ')');
    let email = text.split(breaks).find(|word| word.contains('@')).ok_or(WHY)?;
    let (before, after) = text.split_once(email).ok_or(WHY)?;
    let rest = format!("{before} {after}");
    let name = rest.split(breaks).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if name.is_empty() { Err(WHY) } else { Ok(Answer::NameEmail { name, email: email.to_owned() }) }
}

fn yes_or_no(text: &str) -> Result<bool, Refused> {
    match Words::of(text).first() {
        Some("yes" | "y" | "yeah" | "yep" | "sure" | "ok" | "okay" | "true") => Ok(true),
        Some("no" | "n" | "nope" | "nah" | "false") => Ok(false),
        _ => Err(Refused("Please answer yes or no.")),
    }
}

fn skips(text: &str) -> bool {
    matches!(
        text.trim_end_matches(['.', '!']).to_lowercase().as_str(),
        "skip" | "none" | "no" | "nope" | "nothing" | "n/a" | "-"
    )
}

#[cfg(test)]
mod tests {
    use super::{Answer, BookingInfo, Refused, Step, TutorMatch};
    use crate::types::{Slot, Tutor};

    fn booking() -> BookingInfo {
        let tutor = Tutor { id: "t-1".into(), name: "Ada".into(), ..Tutor::default() };
        let slot = Slot {
            day: "Monday".into(),
            time: "10:00".into(),
            mode: "online".into(),
            ..Slot::default()
        };
        BookingInfo::start(TutorMatch { tutor, slot, score: 0.5, ..TutorMatch::default() })
    }

    fn say(booking: &BookingInfo, text: &str) -> Result<BookingInfo, Refused> {
        booking.answered(booking.read_answer(text)?)
    }

    #[test]
    fn steps_go_in_order_and_back() {
        let mut step = Step::NameEmail;
        let mut seen = vec![step];
        while step != Step::Complete {
            step = step.next();
            seen.push(step);
        }
        assert_eq!(seen, Step::ALL);
        assert_eq!(Step::Complete.next(), Step::Complete);
        assert_eq!(Step::CcsfEmail.previous(), Step::NameEmail);
        assert_eq!(Step::NameEmail.previous(), Step::NameEmail);
    }

    #[test]
    fn a_whole_booking_by_chat() {
        let mut info = booking();
        let lines = [
            "Sam Lee <sam@example.com>",
            "slee@mail.ccsf.edu",
            "w12345678",
            "Yes, please",
            "CS 110A, MATH 90",
            "loops",
            "none",
        ];
        for (line, step) in lines.iter().zip(Step::ALL) {
            assert_eq!(info.step, step);
            info = say(&info, line).unwrap();
        }
        assert!(!info.is_open());
        let expected = serde_json::json!({
            "studentName": "Sam Lee", "studentEmail": "sam@example.com",
            "ccsfEmail": "slee@mail.ccsf.edu", "studentId": "W12345678",
            "allowOtherStudents": true, "classes": ["CS 110A", "MATH 90"],
            "specificHelp": "loops",
            "slot": {"day": "Monday", "time": "10:00", "mode": "online"}, "step": "complete",
            "tutorMatch": {
                "tutor": {"id": "t-1", "name": "Ada", "skills": [], "modes": []},
                "slot": {"day": "Monday", "time": "10:00", "mode": "online"},
                "score": 0.5, "reason": ""
            }
        });
        assert_eq!(serde_json::to_value(&info).unwrap(), expected);
        assert_eq!(say(&info, "more"), Err(Refused("This booking is complete already.")));
    }

    #[test]
    fn names_and_addresses_are_found_in_either_order() {
        for text in [
            "Sam Lee, sam@example.com",
            "sam@example.com Sam Lee",
            "Sam Lee (sam@example.com)",
            " Sam  Lee ;sam@example.com ",
        ] {
            let expected =
                Answer::NameEmail { name: "Sam Lee".into(), email: "sam@example.com".into() };
            assert_eq!(booking().read_answer(text), Ok(expected), "{text}");
        }
        for text in ["Sam Lee", "sam@example.com", "", "@"] {
            assert!(say(&booking(), text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_answer_to_another_step_is_refused() {
        let answers = [
            Answer::NameEmail { name: "Sam".into(), email: "sam@example.com".into() },
            Answer::CcsfEmail("s@ccsf.edu".into()),
            Answer::StudentId(String::new()),
            Answer::AllowOthers(true),
            Answer::Classes(vec![]),
            Answer::SpecificHelp("x".into()),
            Answer::AdditionalNotes(String::new()),
        ];
        for step in Step::ALL {
            let at_step = BookingInfo { step, ..booking() };
            let accepted =
                answers.iter().filter(|answer| at_step.answered((*answer).clone()).is_ok()).count();
            assert_eq!(accepted, usize::from(step != Step::Complete), "{step:?}");
        }
    }

    #[test]
    fn a_refused_answer_says_how_to_answer() {
        let at = |step| BookingInfo { step, ..booking() };
        assert!(
            say(&at(Step::CcsfEmail), "sam@example.com")
                .unwrap_err()
                .to_string()
                .contains("@mail.ccsf.edu")
        );
        assert!(say(&at(Step::StudentId), "12").unwrap_err().to_string().contains("W12345678"));
        assert!(
            say(&at(Step::AllowOthers), "perhaps").unwrap_err().to_string().contains("yes or no")
        );
        assert!(say(&at(Step::SpecificHelp), "  ").unwrap_err().to_string().contains("help"));
    }
}

//! Reads a person's wish from free text.

use crate::tutors::{IN_PERSON, ONLINE, SKILLS};

const DAYS: [(&str, &str); 7] = [
    ("monday", "Monday"),
    ("tuesday", "Tuesday"),
    ("wednesday", "Wednesday"),
    ("thursday", "Thursday"),
    ("friday", "Friday"),
    ("saturday", "Saturday"),
    ("sunday", "Sunday"),
];
const PARTS_OF_DAY: [&str; 3] = ["morning", "afternoon", "evening"];
const ONLINE_WORDS: [&str; 6] = ["online", "zoom", "remote", "remotely", "virtual", "virtually"];
const IN_PERSON_WORDS: [&str; 4] = ["in person", "on campus", "face to face", "campus"];

/// The parts of a wish; a part that the text does not mention is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) skill: Option<&'static str>,
    pub(crate) day: Option<&'static str>,
    pub(crate) time: Option<String>,
    pub(crate) mode: Option<&'static str>,
}

impl Wish {
    pub(crate) fn read(text: &str) -> Self {
        let words = Words::of(text);
        Self { skill: skill(&words), day: day(&words), time: time(&words), mode: mode(&words) }
    }

    /// True when the text names a day, a time or a mode, but no skill.
    pub(crate) fn refines(&self) -> bool {
        self.skill.is_none() && (self.day.is_some() || self.time.is_some() || self.mode.is_some())
    }
}

/// A text's words in lower case. `+`, `#` and `:` belong to words (`c++`, `3:30`), other
/// punctuation does not.
pub(crate) struct Words(Vec<String>);

impl Words {
    pub(crate) fn of(text: &str) -> Self {
        let inside = |c: char| c.is_alphanumeric() || matches!(c, '+' | '#' | ':');
        let lower = text.to_lowercase();
        let words = lower
            .split(|c| !inside(c))
            .map(|word| word.trim_matches(':'))
            .filter(|word| !word.is_empty());
        Self(words.map(Into::into).collect())
    }

    pub(crate) fn first(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    pub(crate) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|one| one == word)
    }

    /// Where a phrase of one or more words begins.
    fn find(&self, phrase: &str) -> Option<usize> {
        let phrase: Vec<_> = phrase.split(' ').collect();
        self.0.windows(phrase.len()).position(|window| window == phrase)
    }
}

/// The skill named first.
fn skill(words: &Words) -> Option<&'static str> {
    let named =
        SKILLS.iter().flat_map(|skill| skill.called.iter().map(|called| (skill.id, *called)));
    let found = named.filter_map(|(id, called)| words.find(called).map(|at| (at, id)));
    found.min_by_key(|&(at, _)| at).map(|(_, id)| id)
}

fn day(words: &Words) -> Option<&'static str> {
    words.0.iter().find_map(|word| {
        let whole = word.strip_suffix('s').unwrap_or(word);
        // At least three letters, so that `mon` and `thurs` are days; `sun` and `sat` are words of
        // their own.
        let is_short = |day: &str| {
            word.len() >= 3
                && day.starts_with(word.as_str())
                && !matches!(word.as_str(), "sun" | "sat")
        };
        DAYS.iter().find(|(day, _)| *day == whole || is_short(day)).map(|&(_, name)| name)
    })
}

fn mode(words: &Words) -> Option<&'static str> {
    let said = |phrases: &[&str]| phrases.iter().any(|phrase| words.find(phrase).is_some());
    if said(&IN_PERSON_WORDS) {
        Some(IN_PERSON)
    } else if said(&ONLINE_WORDS) {
        Some(ONLINE)
    } else {
        None
    }
}

fn time(words: &Words) -> Option<String> {
    let list = &words.0;
    for (at, word) in list.iter().enumerate() {
        if word == "noon" {
            return Some("12:00".into());
        }
        if PARTS_OF_DAY.contains(&word.as_str()) {
            return Some(word.clone());
        }
        let (digits, half) = match (word.strip_suffix("am"), word.strip_suffix("pm")) {
            (Some(digits), _) => (digits, Some(Half::Am)),
            (_, Some(digits)) => (digits, Some(Half::Pm)),
            _ => (word.as_str(), list.get(at + 1).and_then(|next| Half::read(next))),
        };
        let after_at = at > 0 && matches!(list[at - 1].as_str(), "at" | "around" | "about" | "by");
        let Some((hour, minute)) = clock(digits) else { continue };
        let hour = match half {
            Some(Half::Am) if (1..=12).contains(&hour) => hour % 12,
            Some(Half::Pm) if (1..=12).contains(&hour) => hour % 12 + 12,
            None if digits.contains(':') => hour,
            // Nobody is tutored at three in the night.
            None if after_at && (1..=7).contains(&hour) => hour + 12,
            None if after_at => hour,
            _ => continue,
        };
        return Some(format!("{hour:02}:{minute:02}"));
    }
    None
}

enum Half {
    Am,
    Pm,
}

impl Half {
    fn read(word: &str) -> Option<Self> {
        match word {
            "am" => Some(Self::Am),
            "pm" => Some(Self::Pm),
            _ => None,
        }
    }
}

/// `H`, `HH` or `H:MM`, within a day.
fn clock(digits: &str) -> Option<(u32, u32)> {
    let (hour, minute) = digits.split_once(':').unwrap_or((digits, "00"));
    let number = |text: &str, limit: u32| {
        let plain = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| text.parse().ok()).flatten().filter(|&n| n < limit)
    };
    let minute = if minute.len() == 2 { number(minute, 60)? } else { return None };
    Some((number(hour, 24)?, minute))
}

/// Minutes since midnight of `HH:MM`.
pub(crate) fn minutes(time: &str) -> Option<u32> {
    time.contains(':').then(|| clock(time)).flatten().map(|(hour, minute)| hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::{Wish, minutes};

    fn wish(
        skill: Option<&'static str>,
        day: Option<&'static str>,
        time: Option<&str>,
        mode: Option<&'static str>,
    ) -> Wish {
        Wish { skill, day, time: time.map(Into::into), mode }
    }

    #[test]
    fn free_text_is_read() {
        let cases = [
            ("I want help with python tutor", wish(Some("python"), None, None, None)),
            (
                "Python, Monday at 10, online please",
                wish(Some("python"), Some("Monday"), Some("10:00"), Some("online")),
            ),
            (
                "need a JS tutor on thursdays 5:30 pm via Zoom",
                wish(Some("javascript"), Some("Thursday"), Some("17:30"), Some("online")),
            ),
            (
                "C++ in-person Tues 9am",
                wish(Some("c++"), Some("Tuesday"), Some("09:00"), Some("in-person")),
            ),
            (
                "data structures in the morning",
                wish(Some("data structures"), None, Some("morning"), None),
            ),
            (
                "calc, SATURDAY noon, on campus",
                wish(Some("calculus"), Some("Saturday"), Some("12:00"), Some("in-person")),
            ),
            ("what about wednesday evening?", wish(None, Some("Wednesday"), Some("evening"), None)),
            ("java at 3", wish(Some("java"), None, Some("15:00"), None)),
            ("12am or 12pm", wish(None, None, Some("00:00"), None)),
            ("at 15:00", wish(None, None, Some("15:00"), None)),
            ("JavaScript, not java", wish(Some("javascript"), None, None, None)),
            ("sql wed or fri", wish(Some("sql"), Some("Wednesday"), None, None)),
            ("essays about Friday's sun", wish(Some("writing"), Some("Friday"), None, None)),
        ];
        for (text, expected) in cases {
            assert_eq!(Wish::read(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_that_only_resemble_a_wish_name_nothing() {
        for text in [
            "",
            "hello",
            "javanese pythons",
            "25:00",
            "10:75",
            "at 99",
            "13pm",
            "0pm",
            "1234",
            "mo",
            "the sun sat",
            "👩‍💻",
            "12:3",
        ] {
            assert_eq!(Wish::read(text), Wish::default(), "{text}");
        }
    }

    #[test]
    fn refining_names_no_skill() {
        assert!(Wish::read("Monday?").refines());
        assert!(!Wish::read("python on Monday").refines());
        assert!(!Wish::read("hello").refines());
    }

    #[test]
    fn minutes_since_midnight() {
        assert_eq!(minutes("10:30"), Some(630));
        assert_eq!(minutes("morning"), None);
        assert_eq!(minutes("10"), None);
        assert_eq!(minutes("24:00"), None);
    }
}

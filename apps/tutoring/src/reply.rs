//! The conversation: the app's answers and its state after them.

use crate::booking::Refused;
use crate::matcher::{find_tutors, shown, slot_in_words};
use crate::search::{Wish, Words};
use crate::tutors::SKILLS;
use crate::types::{BookingInfo, SearchCriteria, TutorMatch, Tutoring};
use serde_json::Map;

/// The app's answer to one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The assistant's words.
    pub text: String,
    /// The tutor that the words offer, for a card beside them.
    pub tutor_match: Option<TutorMatch>,
    /// The app's state from now on.
    pub state: Tutoring,
}

/// Answers a user's message: a search, another offer, the start of a booking, or the answer to a
/// booking's question.
pub fn respond(state: &Tutoring, user_text: &str) -> Reply {
    let state = state.clone();
    match state.booking_info.clone() {
        Some(booking) if booking.is_open() => in_booking(state, &booking, user_text),
        _ => in_search(state, user_text),
    }
}

fn say(state: Tutoring, text: impl Into<String>) -> Reply {
    Reply { text: text.into(), tutor_match: None, state }
}

fn in_booking(mut state: Tutoring, booking: &BookingInfo, text: &str) -> Reply {
    match text.trim().trim_end_matches(['.', '!']).to_lowercase().as_str() {
        "cancel" | "stop" => {
            state.booking_info = None;
            return say(state, "I've dropped the booking. Tell me what else I can look for.");
        }
        "back" => {
            let back = BookingInfo { step: booking.step.previous(), ..booking.clone() };
            let question = back.step.question();
            state.booking_info = Some(back);
            return say(state, question);
        }
        _ => {}
    }
    match booking.read_answer(text).and_then(|answer| booking.answered(answer)) {
        Ok(next) => {
            let text = if next.is_open() { next.step.question().into() } else { booked(&next) };
            state.booking_info = Some(next);
            say(state, text)
        }
        Err(refused) => ask_again(state, refused),
    }
}

fn ask_again(state: Tutoring, refused: Refused) -> Reply {
    say(state, format!("{refused} Or write “back” or “cancel”."))
}

fn booked(booking: &BookingInfo) -> String {
    let offer = booking.tutor_match.as_ref();
    let with = offer.map(|offer| format!(" with {}", offer.tutor.name)).unwrap_or_default();
    format!("You're booked, {}: {}{with}.", booking.student_name, slot_in_words(&booking.slot))
}

fn in_search(state: Tutoring, text: &str) -> Reply {
    let wish = Wish::read(text);
    let words = Words::of(text);
    let agrees = matches!(words.first(), Some("yes" | "yeah" | "yep" | "sure" | "ok" | "okay"))
        || words.has("book");
    if wish.skill.is_none()
        && agrees
        && let Some(offer) = state.pending_match.clone()
    {
        return begin(state, offer);
    }
    if let Some(criteria) = criteria(&state, &wish) {
        return search(state, criteria);
    }
    let declines = matches!(words.first(), Some("no" | "nope"))
        || ["another", "other", "else", "next"].iter().any(|word| words.has(word));
    if declines && state.pending_match.is_some() {
        return another(state);
    }
    say(
        state,
        format!(
            "I can find you a tutor for {}. What do you need help with, and which day suits you?",
            skills_in_words()
        ),
    )
}

fn begin(mut state: Tutoring, offer: TutorMatch) -> Reply {
    let booking = BookingInfo::start(offer.clone());
    let text = format!(
        "Let's book {} on {}. {}",
        offer.tutor.name,
        slot_in_words(&offer.slot),
        booking.step.question()
    );
    state.booking_info = Some(booking);
    state.pending_match = Some(offer);
    say(state, text)
}

/// The criteria of the next search. A named skill begins a new search; a day, time or way to meet
/// alone refines the last one.
fn criteria(state: &Tutoring, wish: &Wish) -> Option<SearchCriteria> {
    let own = |text: Option<&'static str>| text.map(Into::into);
    if let Some(skill) = wish.skill {
        let (day, mode) = (own(wish.day), own(wish.mode));
        return Some(SearchCriteria {
            skill: skill.into(),
            day,
            time: wish.time.clone(),
            mode,
            other: Map::new(),
        });
    }
    let last = state.last_search_criteria.clone().filter(|_| wish.refines())?;
    Some(SearchCriteria {
        day: own(wish.day).or(last.day),
        time: wish.time.clone().or(last.time),
        mode: own(wish.mode).or(last.mode),
        ..last
    })
}

fn search(mut state: Tutoring, criteria: SearchCriteria) -> Reply {
    state.available_tutors_list = find_tutors(&criteria);
    let skill = shown(&criteria.skill).to_owned();
    state.last_search_criteria = Some(criteria);
    let Some(best) = state.available_tutors_list.first().cloned() else {
        state.pending_match = None;
        let text = format!(
            "Nobody teaches {skill} at the moment. I can find you a tutor for {}.",
            skills_in_words()
        );
        return say(state, text);
    };
    let others = match state.available_tutors_list.len() - 1 {
        0 => String::new(),
        1 => " There is one other: write “another” to see them.".into(),
        n => format!(" There are {n} others: write “another” to see them."),
    };
    let (name, when) = (&best.tutor.name, slot_in_words(&best.slot));
    let text = format!("For {skill} I found {name}, free on {when}. Shall I book it?{others}");
    offer(state, text, best)
}

fn another(state: Tutoring) -> Reply {
    let current = state.pending_match.as_ref();
    let at = state.available_tutors_list.iter().position(|one| Some(one) == current);
    match state.available_tutors_list.get(at.map_or(0, |at| at + 1)).cloned() {
        Some(next) => {
            let text = format!(
                "Then how about {}, free on {}? Shall I book it?",
                next.tutor.name,
                slot_in_words(&next.slot)
            );
            offer(state, text, next)
        }
        None => say(
            state,
            "Those were all. You can name another day, another time, or whether you'd rather meet \
             online or in person.",
        ),
    }
}

fn offer(mut state: Tutoring, text: String, offer: TutorMatch) -> Reply {
    state.pending_match = Some(offer.clone());
    Reply { text, tutor_match: Some(offer), state }
}

fn skills_in_words() -> String {
    let shown: Vec<_> = SKILLS.iter().map(|skill| skill.shown).collect();
    match shown.split_last() {
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Reply, Tutoring, respond};
    use crate::types::Step;

    /// Says one line after the other; the last reply.
    fn talk(lines: &[&str]) -> Reply {
        let start = Reply { text: String::new(), tutor_match: None, state: Tutoring::default() };
        lines.iter().fold(start, |reply, line| respond(&reply.state, line))
    }

    #[test]
    fn a_search_offers_the_best_and_keeps_the_rest() {
        let reply = talk(&["I want help with python tutor"]);
        let offer = reply.tutor_match.unwrap();
        assert_eq!(offer.tutor.name, "Amara Okafor");
        assert!(
            reply.text.contains("Amara Okafor") && reply.text.contains("Python"),
            "{}",
            reply.text
        );
        assert_eq!(reply.state.pending_match, Some(offer));
        assert_eq!(reply.state.available_tutors_list.len(), 3);
        assert_eq!(reply.state.last_search_criteria.unwrap().skill, "python");
        assert_eq!(reply.state.booking_info, None);
    }

    #[test]
    fn a_day_alone_refines_the_last_search_and_a_skill_begins_anew() {
        let reply = talk(&["python online", "rather Wednesday"]);
        let last = reply.state.last_search_criteria.unwrap();
        assert_eq!(
            (last.skill.as_str(), last.day.as_deref(), last.mode.as_deref()),
            ("python", Some("Wednesday"), Some("online"))
        );
        assert_eq!(reply.tutor_match.unwrap().tutor.name, "Elias Lindqvist");

        let reply = talk(&["python on Wednesday", "java"]);
        assert_eq!(reply.state.last_search_criteria.unwrap().day, None);
        assert_eq!(talk(&["Wednesday"]).state, Tutoring::default());
    }

    #[test]
    fn another_goes_through_the_list_once() {
        let names: Vec<_> = (0..3)
            .map(|n| {
                talk(&[&["python"][..], &vec!["another one"; n]].concat())
                    .tutor_match
                    .unwrap()
                    .tutor
                    .name
            })
            .collect();
        assert_eq!(names, ["Amara Okafor", "Bruno Castellanos", "Elias Lindqvist"]);
        let reply = talk(&["python", "no", "no", "no"]);
        assert_eq!(reply.tutor_match, None);
        assert_eq!(reply.state.pending_match.unwrap().tutor.name, "Elias Lindqvist");
    }

    #[test]
    fn yes_books_the_offered_tutor() {
        for yes in ["yes", "Yes please!", "ok, Monday works", "book it", "can you book that for me"]
        {
            let reply = talk(&["python", yes]);
            let booking = reply.state.booking_info.unwrap();
            assert_eq!(
                (booking.step, booking.slot.day.as_str()),
                (Step::NameEmail, "Monday"),
                "{yes}"
            );
            assert!(reply.text.ends_with(Step::NameEmail.question()), "{}", reply.text);
        }
        assert_eq!(talk(&["yes"]).state, Tutoring::default());
        assert_eq!(talk(&["python", "no, book java instead"]).state.booking_info, None);
    }

    #[test]
    fn a_booking_is_asked_step_by_step_to_the_end() {
        let lines = [
            "python",
            "yes",
            "Sam Lee, sam@example.com",
            "slee@mail.ccsf.edu",
            "skip",
            "no",
            "CS 110A",
            "loops",
            "I am new",
        ];
        let steps = Step::ALL;
        for (said, step) in (2..=lines.len()).zip(steps) {
            let reply = talk(&lines[..said]);
            assert_eq!(reply.state.booking_info.as_ref().unwrap().step, step);
            if step != Step::Complete {
                assert!(reply.text.contains(step.question()), "{}", reply.text);
            }
        }
        let reply = talk(&lines);
        assert_eq!(
            reply.text,
            "You're booked, Sam Lee: Monday at 10:00, online with Amara Okafor."
        );
        let booking = reply.state.booking_info.unwrap();
        assert_eq!((booking.student_id, booking.allow_other_students), (None, Some(false)));
        assert_eq!(booking.additional_notes.as_deref(), Some("I am new"));
    }

    #[test]
    fn a_refused_answer_changes_nothing() {
        let before = talk(&["python", "yes"]);
        let reply = respond(&before.state, "just call me Sam");
        assert_eq!(reply.state, before.state);
        assert!(
            reply.text.contains("sam@example.com") && reply.text.contains("cancel"),
            "{}",
            reply.text
        );
    }

    #[test]
    fn a_booking_can_go_back_and_be_cancelled() {
        let reply = talk(&["python", "yes", "Sam Lee, sam@example.com", "Back"]);
        let booking = reply.state.booking_info.unwrap();
        assert_eq!((booking.step, booking.student_name.as_str()), (Step::NameEmail, "Sam Lee"));
        let reply = talk(&["python", "yes", "cancel."]);
        assert_eq!(reply.state.booking_info, None);
        assert!(reply.state.pending_match.is_some());
    }

    #[test]
    fn during_a_booking_the_words_of_a_search_are_an_answer() {
        let lines = [
            "python",
            "yes",
            "Sam Lee, sam@example.com",
            "slee@mail.ccsf.edu",
            "skip",
            "yes",
            "skip",
            "python loops on Monday",
        ];
        let reply = talk(&lines);
        let booking = reply.state.booking_info.unwrap();
        assert_eq!(booking.specific_help.as_deref(), Some("python loops on Monday"));
    }

    #[test]
    fn after_a_booking_a_search_begins_again() {
        let reply = talk(&[&BOOKED[..], &["now calculus"]].concat());
        assert_eq!(reply.tutor_match.unwrap().tutor.name, "Dalia Haddad");
        assert_eq!(reply.state.booking_info.unwrap().step, Step::Complete);
    }

    const BOOKED: [&str; 9] =
        ["python", "yes", "Sam, s@example.com", "s@ccsf.edu", "-", "no", "-", "loops", "-"];

    #[test]
    fn a_booking_keeps_its_tutor_when_others_are_offered_later() {
        let booked = talk(&BOOKED).state;
        let tutor = |state: &Tutoring| {
            let booking = state.booking_info.as_ref().unwrap();
            booking.tutor_match.as_ref().unwrap().tutor.name.clone()
        };
        assert_eq!(tutor(&booked), "Amara Okafor");
        for later in
            [&["another"][..], &["now calculus"], &["java", "another", "no"], &["I need cobol"]]
        {
            let after =
                later.iter().fold(booked.clone(), |state, line| respond(&state, line).state);
            assert_eq!(after.booking_info, booked.booking_info, "{later:?}");
        }
        let searched = respond(&booked, "now calculus").state;
        assert_eq!(searched.pending_match.unwrap().tutor.name, "Dalia Haddad");
    }

    #[test]
    fn the_last_words_of_a_booking_name_the_tutor_that_it_was_made_with() {
        let mut state = talk(&BOOKED[..8]).state;
        // As when the page has searched on in the meantime.
        state.pending_match = talk(&["now calculus"]).tutor_match;
        assert!(state.pending_match.is_some());
        let reply = respond(&state, "skip");
        assert_eq!(reply.text, "You're booked, Sam: Monday at 10:00, online with Amara Okafor.");
        // A booking from before the tutor was kept names none rather than another.
        state.booking_info.as_mut().unwrap().tutor_match = None;
        assert_eq!(respond(&state, "skip").text, "You're booked, Sam: Monday at 10:00, online.");
    }

    #[test]
    fn an_answer_to_other_texts_lists_the_skills() {
        for text in ["", "hello", "<script>alert(1)</script>", "I need a cobol tutor", "🤷"] {
            let reply = talk(&[text]);
            assert!(
                reply.text.contains("Python") && reply.text.contains("writing"),
                "{text}: {}",
                reply.text
            );
            assert_eq!(reply.state, Tutoring::default());
        }
    }
}

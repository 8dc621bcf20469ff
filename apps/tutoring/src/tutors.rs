//! The tutors and their skills. All tutors are made up.

use crate::types::Tutor;
use serde_json::Map;

/// A skill: its stored name, its shown name, and people's words for it.
#[derive(Debug)]
pub(crate) struct Skill {
    pub(crate) id: &'static str,
    pub(crate) shown: &'static str,
    pub(crate) called: &'static [&'static str],
}

pub(crate) const SKILLS: &[Skill] = &[
    Skill { id: "python", shown: "Python", called: &["python", "py"] },
    Skill { id: "java", shown: "Java", called: &["java"] },
    Skill { id: "javascript", shown: "JavaScript", called: &["javascript", "js", "typescript"] },
    Skill { id: "c++", shown: "C++", called: &["c++", "cpp"] },
    Skill { id: "sql", shown: "SQL", called: &["sql", "databases", "database"] },
    Skill {
        id: "data structures",
        shown: "data structures",
        called: &["data structures", "algorithms"],
    },
    Skill { id: "algebra", shown: "algebra", called: &["algebra", "math", "maths"] },
    Skill { id: "calculus", shown: "calculus", called: &["calculus", "calc"] },
    Skill { id: "statistics", shown: "statistics", called: &["statistics", "stats"] },
    Skill { id: "writing", shown: "writing", called: &["writing", "essay", "essays", "english"] },
];

pub(crate) const ONLINE: &str = "online";
pub(crate) const IN_PERSON: &str = "in-person";

/// A tutor with the times they offer: day, time, mode.
#[derive(Debug)]
pub(crate) struct Entry {
    id: &'static str,
    name: &'static str,
    pub(crate) skills: &'static [&'static str],
    pub(crate) slots: &'static [(&'static str, &'static str, &'static str)],
}

impl Entry {
    pub(crate) fn tutor(&self) -> Tutor {
        let meets = |mode: &&str| self.slots.iter().any(|slot| slot.2 == *mode);
        Tutor {
            id: self.id.into(),
            name: self.name.into(),
            skills: self.skills.iter().map(|&skill| skill.into()).collect(),
            modes: [ONLINE, IN_PERSON].into_iter().filter(meets).map(Into::into).collect(),
            other: Map::new(),
        }
    }
}

pub(crate) const TUTORS: &[Entry] = &[
    Entry {
        id: "tutor-amara",
        name: "Amara Okafor",
        skills: &["python", "data structures", "sql"],
        slots: &[
            ("Monday", "10:00", ONLINE),
            ("Wednesday", "14:00", IN_PERSON),
            ("Friday", "16:00", ONLINE),
        ],
    },
    Entry {
        id: "tutor-bruno",
        name: "Bruno Castellanos",
        skills: &["python", "javascript"],
        slots: &[("Tuesday", "13:00", IN_PERSON), ("Thursday", "17:30", ONLINE)],
    },
    Entry {
        id: "tutor-chen",
        name: "Chen Yulan",
        skills: &["java", "c++", "data structures"],
        slots: &[
            ("Monday", "15:00", IN_PERSON),
            ("Tuesday", "09:00", ONLINE),
            ("Thursday", "11:00", ONLINE),
        ],
    },
    Entry {
        id: "tutor-dalia",
        name: "Dalia Haddad",
        skills: &["algebra", "calculus", "statistics"],
        slots: &[
            ("Monday", "09:30", ONLINE),
            ("Wednesday", "18:00", ONLINE),
            ("Saturday", "11:00", IN_PERSON),
        ],
    },
    Entry {
        id: "tutor-elias",
        name: "Elias Lindqvist",
        skills: &["statistics", "python", "sql"],
        slots: &[("Wednesday", "10:00", ONLINE), ("Friday", "13:00", IN_PERSON)],
    },
    Entry {
        id: "tutor-fumiko",
        name: "Fumiko Aoki",
        skills: &["writing"],
        slots: &[
            ("Tuesday", "12:00", IN_PERSON),
            ("Thursday", "15:00", ONLINE),
            ("Sunday", "14:00", ONLINE),
        ],
    },
    Entry {
        id: "tutor-grace",
        name: "Grace Mbeki",
        skills: &["javascript", "java", "calculus"],
        slots: &[("Friday", "10:00", ONLINE), ("Saturday", "14:00", ONLINE)],
    },
];

#[cfg(test)]
mod tests {
    use super::{SKILLS, TUTORS};

    #[test]
    fn tutors_teach_known_skills_and_every_skill_is_taught() {
        for entry in TUTORS {
            for skill in entry.skills {
                assert!(
                    SKILLS.iter().any(|known| known.id == *skill),
                    "{} teaches {skill}",
                    entry.name
                );
            }
            assert!(!entry.slots.is_empty());
        }
        for skill in SKILLS {
            assert!(
                TUTORS.iter().any(|entry| entry.skills.contains(&skill.id)),
                "nobody teaches {}",
                skill.id
            );
            assert!(skill.called.contains(&skill.id), "{} is not called by its name", skill.id);
        }
        let ids: std::collections::HashSet<_> = TUTORS.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), TUTORS.len());
    }
}

//! Checks that a number is a plausible time in Unix milliseconds.

use std::fmt;

/// The earliest time that an import accepts: 3 March 1973, in Unix milliseconds. As seconds, the
/// same number is a date after the year 5000, so seconds are never taken for milliseconds.
pub const EARLIEST_MS: u64 = 100_000_000_000;

/// How far in the future a time of an import may lie: one day, in milliseconds, because the clocks
/// of two machines differ.
pub const FUTURE_MS: u64 = 86_400_000;

/// The least number that counts microseconds. As milliseconds it is a date after the year 5000.
const MICROSECONDS_FROM: u64 = 100_000_000_000_000;
/// The least number that counts nanoseconds.
const NANOSECONDS_FROM: u64 = 100_000_000_000_000_000;
/// 2^53. Above it, a double may differ from the number in the text.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A unit of the time since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeUnit {
    /// Seconds: 10 digits today.
    Seconds,
    /// Milliseconds: 13 digits today. This library's unit.
    Milliseconds,
    /// Microseconds: 16 digits today.
    Microseconds,
    /// Nanoseconds: 19 digits today.
    Nanoseconds,
}

impl fmt::Display for TimeUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        })
    }
}

/// A field is not a plausible time in Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeError {
    field: &'static str,
    problem: Problem,
    latest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Problem {
    NotANumber,
    /// The number as given, unless it is longer than any time.
    Number {
        text: Box<str>,
        why: Why,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Unit(TimeUnit),
    Negative,
    Fraction,
    Future,
}

impl TimeError {
    /// The name of the field: `createdAt`, `lastAccessedAt` or `changedAt`.
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The likely unit of the number, by its size; `None` if the field is not a positive number.
    pub fn unit(&self) -> Option<TimeUnit> {
        match self.problem {
            Problem::Number { why: Why::Unit(unit), .. } => Some(unit),
            Problem::Number { why: Why::Fraction | Why::Future, .. } => {
                Some(TimeUnit::Milliseconds)
            }
            _ => None,
        }
    }
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is ", self.field)?;
        match &self.problem {
            Problem::NotANumber => f.write_str("not a number")?,
            Problem::Number { text, why } => {
                f.write_str(text)?;
                match why {
                    Why::Unit(unit) => write!(f, ", which looks like {unit}")?,
                    Why::Negative => f.write_str(", a time before 1970")?,
                    Why::Fraction => f.write_str(", milliseconds with a fraction")?,
                    Why::Future => f.write_str(", milliseconds more than a day in the future")?,
                }
            }
        }
        write!(
            f,
            "; it must be whole Unix milliseconds \
             from {EARLIEST_MS} (3 March 1973) to {} (a day from now)",
            self.latest
        )
    }
}

impl std::error::Error for TimeError {}

/// Parses the JSON text of a time. `now` is in Unix milliseconds.
pub(super) fn plausible(field: &'static str, json: &str, now: u64) -> Result<u64, TimeError> {
    let latest = now.saturating_add(FUTURE_MS).max(EARLIEST_MS);
    let error = |problem| TimeError { field, problem, latest };
    let because = |why| {
        let text = if json.len() <= 32 { json } else { "a long number" };
        error(Problem::Number { text: text.into(), why })
    };
    let Ok(number) = json.parse::<f64>() else { return Err(error(Problem::NotANumber)) };
    let Some(whole) = whole_number(json) else {
        return Err(because(match number {
            n if n < 0.0 => Why::Negative,
            n => match unit(saturated(n)) {
                TimeUnit::Milliseconds => Why::Fraction,
                unit => Why::Unit(unit),
            },
        }));
    };
    if (EARLIEST_MS..=latest).contains(&whole) {
        return Ok(whole);
    }
    Err(because(match unit(whole) {
        TimeUnit::Milliseconds => Why::Future,
        unit => Why::Unit(unit),
    }))
}

fn unit(number: u64) -> TimeUnit {
    match number {
        NANOSECONDS_FROM.. => TimeUnit::Nanoseconds,
        MICROSECONDS_FROM.. => TimeUnit::Microseconds,
        EARLIEST_MS.. => TimeUnit::Milliseconds,
        _ => TimeUnit::Seconds,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates, as intended
fn saturated(number: f64) -> u64 {
    number as u64
}

/// Parses the JSON text of a whole number, also with a fraction of zeros or an exponent:
/// `1763264606917.0` is `1763264606917`.
pub(crate) fn whole_number(json: &str) -> Option<u64> {
    if let Ok(whole) = json.parse() {
        return Some(whole);
    }
    let number =
        json.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && (0.0..=EXACT).contains(n))?;
    crate::json::equal(json, &saturated(number).to_string()).then(|| saturated(number))
}

#[cfg(test)]
mod tests {
    use super::{EARLIEST_MS, FUTURE_MS, TimeUnit, plausible, whole_number};

    const NOW: u64 = 1_764_000_000_000;

    fn unit_of(json: &str) -> Option<TimeUnit> {
        plausible("createdAt", json, NOW).unwrap_err().unit()
    }

    #[test]
    fn milliseconds_within_both_bounds_are_accepted() {
        for good in [EARLIEST_MS, 1_763_264_606_917, NOW, NOW + FUTURE_MS] {
            for text in
                [format!("{good}"), format!("{good}.0"), format!("{good}.000"), format!("{good}e0")]
            {
                assert_eq!(plausible("createdAt", &text, NOW), Ok(good), "{text}");
            }
        }
        assert_eq!(plausible("createdAt", "1.763264606917E+12", NOW), Ok(1_763_264_606_917));
        assert_eq!(unit_of(&(EARLIEST_MS - 1).to_string()), Some(TimeUnit::Seconds));
        assert_eq!(unit_of(&(NOW + FUTURE_MS + 1).to_string()), Some(TimeUnit::Milliseconds));
    }

    #[test]
    fn other_units_are_named() {
        use super::TimeUnit::{Microseconds, Milliseconds, Nanoseconds, Seconds};
        for (json, unit) in [
            ("0", Seconds),
            ("1763264606", Seconds),
            ("1763264606.917", Seconds),
            ("99999999999", Seconds),
            ("1763264606917.5", Milliseconds),
            ("99999999999999", Milliseconds),
            ("100000000000000", Microseconds),
            ("1763264606917000", Microseconds),
            ("1.763264606917e15", Microseconds),
            ("99999999999999999", Microseconds),
            ("100000000000000000", Nanoseconds),
            ("1763264606917000000", Nanoseconds),
            ("18446744073709551615", Nanoseconds),
            ("18446744073709551616", Nanoseconds),
            ("1e300", Nanoseconds),
        ] {
            assert_eq!(unit_of(json), Some(unit), "{json}");
        }
        for json in ["-1", "-1763264606917", "null", "\"1763264606917\"", "{}", "true"] {
            assert_eq!(unit_of(json), None, "{json}");
        }
    }

    #[test]
    fn the_error_names_field_value_unit_and_bounds() {
        let error = |json: &str| plausible("lastAccessedAt", json, NOW).unwrap_err().to_string();
        assert_eq!(
            error("1763264606"),
            "`lastAccessedAt` is 1763264606, which looks like seconds; \
             it must be whole Unix milliseconds \
             from 100000000000 (3 March 1973) to 1764086400000 (a day from now)"
        );
        assert!(error("\"secret\"").starts_with("`lastAccessedAt` is not a number; "));
        assert!(error("-5").contains("-5, a time before 1970"));
        assert!(error("4000000000000").contains("more than a day in the future"));
        assert!(error(&"9".repeat(1000)).len() < 200);
    }

    #[test]
    fn a_number_that_a_double_cannot_hold_is_refused() {
        assert_eq!(whole_number("9007199254740993.0"), None);
        assert_eq!(whole_number("9007199254740991.0"), Some(9_007_199_254_740_991));
        assert_eq!(whole_number("0.0"), Some(0));
        assert_eq!(whole_number("-0"), Some(0));
        for none in ["1.5", "-1", "nan", "inf", "", "1e400", "\"1\""] {
            assert_eq!(whole_number(none), None, "{none}");
        }
    }
}

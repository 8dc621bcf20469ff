//! The figures of one run, by name.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Values(BTreeMap<String, f64>);

impl Values {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), value);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    pub(crate) fn count(&mut self, name: impl Into<String>, value: u64) {
        self.set(name, value as f64);
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a benchmark are far below 2^52")]
    pub(crate) fn per(&mut self, name: impl Into<String>, value: u64, count: u64) {
        self.set(name, value as f64 / count.max(1) as f64);
    }

    pub(crate) fn ms(&mut self, name: impl Into<String>, value: Duration) {
        self.set(name, value.as_secs_f64() * 1e3);
    }

    /// The median and other percentiles of times, in µs.
    pub(crate) fn times(&mut self, name: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        let Some(last) = times.len().checked_sub(1) else { return };
        for (percentile, of_1000) in [("p10", 100), ("p50", 500), ("p99", 990)] {
            self.set(format!("{name}{percentile}_us"), micros(times[last * of_1000 / 1000]));
        }
        self.set(format!("{name}max_us"), micros(times[last]));
        self.count(format!("{name}samples"), times.len() as u64);
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.0.get(name).copied()
    }

    /// The median of each value.
    pub(crate) fn medians<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut by_name = BTreeMap::<_, Vec<f64>>::new();
        for (name, &value) in all.into_iter().flat_map(|values| &values.0) {
            by_name.entry(name).or_default().push(value);
        }
        let median = |(name, mut values): (&String, Vec<f64>)| {
            values.sort_by(f64::total_cmp);
            let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
            (name.clone(), f64::midpoint(low, high))
        };
        Self(by_name.into_iter().map(median).collect())
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (name, &value)) in self.0.iter().enumerate() {
            let separator = if n == 0 { "" } else { "  " };
            write!(f, "{separator}{name} {}", Short(value))?;
        }
        Ok(())
    }
}

/// A number with about four digits.
pub(crate) struct Short(pub(crate) f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            value if value >= 1_000.0 || value.fract() == 0.0 => 0,
            value if value >= 100.0 => 1,
            value if value >= 10.0 => 2,
            _ => 3,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}

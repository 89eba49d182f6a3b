//! Latencies and what can be said about them in one line.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Longer durations are counted as this long, which bounds the memory of a set.
const LONGEST: Duration = Duration::from_hours(24);

/// A set of durations: microsecond steps, three significant digits.
#[derive(Clone, Debug)]
pub struct Percentiles(Histogram<u64>);

impl Percentiles {
    /// An empty set.
    ///
    /// # Panics
    /// Never: three significant digits are valid.
    pub fn new() -> Self {
        Self(Histogram::new(3).expect("three significant digits are valid"))
    }

    /// Adds one duration.
    pub fn record(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.min(LONGEST).as_micros()).unwrap_or_default();
        // It fails only when a histogram of fixed size is full; this one grows.
        let _ = self.0.record(micros.max(1));
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: &Self) {
        // As above, this one grows.
        let _ = self.0.add(&other.0);
    }

    /// Number of values.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The median in milliseconds; 0 when empty, as all of these.
    pub fn p50(&self) -> f64 {
        self.quantile(0.50)
    }

    /// Nine of ten are not longer, in milliseconds.
    pub fn p90(&self) -> f64 {
        self.quantile(0.90)
    }

    /// 99 of 100 are not longer, in milliseconds.
    pub fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    /// The longest, in milliseconds.
    pub fn max(&self) -> f64 {
        self.quantile(1.0)
    }

    fn quantile(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.0.value_at_quantile(quantile)).as_secs_f64() * 1000.0
    }
}

impl Default for Percentiles {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<Duration> for Percentiles {
    fn from_iter<I: IntoIterator<Item = Duration>>(durations: I) -> Self {
        let mut all = Self::new();
        durations.into_iter().for_each(|duration| all.record(duration));
        all
    }
}

/// The rows as a table for a terminal, in milliseconds.
pub fn table(rows: &[(String, Percentiles)]) -> String {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(4);
    let head = ["count", "p50 ms", "p90 ms", "p99 ms", "max ms"];
    let mut lines = vec![line("", width, &head.map(str::to_owned))];
    lines.extend(rows.iter().map(|(name, row)| {
        let figures = [row.p50(), row.p90(), row.p99(), row.max()].map(|figure| format!("{figure:.2}"));
        let cells: Vec<String> = std::iter::once(row.count().to_string()).chain(figures).collect();
        line(name, width, &cells)
    }));
    lines.concat()
}

fn line(name: &str, width: usize, cells: &[String]) -> String {
    let start = format!("{name:<width$}");
    cells.iter().fold(start, |line, cell| format!("{line}{cell:>10}")) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values_within_a_thousandth() {
        let all: Percentiles = (1..=100).map(Duration::from_millis).collect();
        let near = |figure: f64, expected: f64| (figure - expected).abs() <= expected / 500.0;
        assert!(near(all.p50(), 50.0) && near(all.p90(), 90.0), "{} {}", all.p50(), all.p90());
        assert!(near(all.p99(), 99.0) && near(all.max(), 100.0), "{} {}", all.p99(), all.max());
    }

    #[test]
    fn merging_counts_both_and_an_empty_set_is_zero() {
        let mut all: Percentiles = [Duration::from_millis(1)].into_iter().collect();
        all.merge(&[Duration::from_secs(2)].into_iter().collect());
        assert_eq!(all.count(), 2);
        assert!(all.max() > 1990.0);
        assert!(Percentiles::new().p99() < f64::EPSILON);
    }

    #[test]
    fn the_table_lines_up() {
        let rows = [("create".to_owned(), [Duration::from_micros(1500)].into_iter().collect())];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].len(), lines[1].len());
        assert!(lines[1].starts_with("create") && lines[1].contains("1.50"), "{text}");
    }
}

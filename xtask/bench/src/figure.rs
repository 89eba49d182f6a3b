//! Output of a bench: values, the yardsticks that they are compared with, and the promises.

use anyhow::Result;
use serde::Serialize;

/// A figure that a bench can measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Ends in its unit.
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) promise: Option<Promise>,
    /// The measured thing, and its yardstick.
    pub(super) what: &'static str,
}

/// The promise about a figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Promise {
    Below(f64),
    AtLeast(f64),
    AtMost(f64),
}

impl Promise {
    fn is_kept(self, value: f64) -> bool {
        match self {
            Self::Below(bound) => value < bound,
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (sign, bound) = match self {
            Self::Below(bound) => ("<", bound),
            Self::AtLeast(bound) => (">=", bound),
            Self::AtMost(bound) => ("<=", bound),
        };
        write!(f, "{sign} {}", shown(*bound))
    }
}

/// The measured value, and where there is one, that of the yardstick in the same run. A yardstick is never a number
/// that somebody remembers: it would be that of another machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) value: f64,
    pub(super) yardstick: Option<f64>,
}

impl Value {
    /// A value beside that of the yardstick.
    pub(super) const fn beside(value: f64, yardstick: f64) -> Self {
        Self { value, yardstick: Some(yardstick) }
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self { value, yardstick: None }
    }
}

/// A figure that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) kind: &'static Kind,
    pub(super) measured: Value,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.measured.yardstick.map(|yardstick| self.measured.value / yardstick)
    }

    fn is_kept(&self) -> bool {
        self.kind.promise.is_none_or(|promise| promise.is_kept(self.measured.value))
    }

    fn row(&self) -> [String; 7] {
        let Kind { name, unit, promise, .. } = self.kind;
        let Value { value, yardstick } = self.measured;
        let or_dash = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), shown);
        let promise = promise.map_or_else(|| "-".to_owned(), |promise| promise.to_string());
        let missed = if self.is_kept() { "" } else { "MISSED" };
        let (yardstick, ratio) = (or_dash(yardstick), or_dash(self.ratio()));
        [(*name).to_owned(), shown(value), (*unit).to_owned(), yardstick, ratio, promise, missed.to_owned()]
    }
}

/// The line for programs, with its members in this order.
#[derive(Serialize)]
struct Line {
    name: &'static str,
    value: f64,
    unit: &'static str,
    yardstick: Option<f64>,
    ratio: Option<f64>,
}

/// One object a line, for programs.
pub(super) fn json(figures: &[Figure]) -> Result<String> {
    let line = |figure: &Figure| {
        let Kind { name, unit, .. } = *figure.kind;
        let (value, yardstick) = (rounded(figure.measured.value), figure.measured.yardstick.map(rounded));
        serde_json::to_string(&Line { name, value, unit, yardstick, ratio: figure.ratio().map(rounded) })
    };
    let lines: Vec<_> = figures.iter().map(line).collect::<Result<_, _>>()?;
    Ok(lines.join("\n"))
}

/// A table, and what each figure is, for people.
pub(super) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "value", "unit", "yardstick", "ratio", "promise", ""].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(figures.iter().map(Figure::row)).collect();
    let line = |[name, value, unit, yardstick, ratio, promise, missed]: &[String; 7]| {
        let line =
            format!("{name:<26} {value:>9} {unit:<6} {yardstick:>10} {ratio:>8} {promise:>9} {missed}");
        format!("{}\n", line.trim_end())
    };
    let what = |figure: &Figure| format!("  {}: {}\n", figure.kind.name, figure.kind.what);
    let rows: String = rows.iter().map(line).collect();
    rows + "\n" + figures.iter().map(what).collect::<String>().trim_end()
}

/// One sentence for each promise that was not kept.
pub(super) fn missed(figures: &[Figure]) -> Vec<String> {
    let sentence = |figure: &Figure| {
        let promise = figure.kind.promise.filter(|_| !figure.is_kept())?;
        let Kind { name, unit, .. } = figure.kind;
        Some(format!("missed: {name} is {} {unit}, promised is {promise}", shown(figure.measured.value)))
    };
    figures.iter().filter_map(sentence).collect()
}

fn shown(number: f64) -> String {
    if number.abs() >= 100.0 { format!("{number:.0}") } else { format!("{number:.2}") }
}

fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind =
        Kind { name: "bind_ms", unit: "ms", promise: Some(Promise::Below(150.0)), what: "binds" };
    const BARE: Kind = Kind { promise: None, ..KIND };

    fn figure(value: f64) -> Figure {
        Figure { kind: &KIND, measured: Value::beside(value, 200.0) }
    }

    fn bare(value: f64) -> Figure {
        Figure { kind: &BARE, measured: value.into() }
    }

    #[test]
    fn a_line_of_json_has_the_five_fields() {
        let text = json(&[figure(50.12349), bare(1.0)]).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"name":"bind_ms","value":50.123,"unit":"ms","yardstick":200.0,"ratio":0.251}"#
        );
        assert!(lines[1].ends_with(r#""yardstick":null,"ratio":null}"#), "{text}");
    }

    #[test]
    fn the_table_lines_up_and_says_what_is_measured() {
        let text = table(&[figure(50.0), bare(1234.5), figure(150.0)]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].len(), lines[1].len());
        assert_eq!(lines[1].len(), lines[2].len());
        assert!(
            lines[1].contains("50.00") && lines[1].contains("< 150") && lines[1].contains("0.25"),
            "{text}"
        );
        assert!(lines[3].ends_with(" MISSED"), "{text}");
        assert!(text.ends_with("bind_ms: binds"), "{text}");
    }

    #[test]
    fn a_missed_promise_is_told() {
        let cases = [
            (Promise::Below(5.0), 4.9, true),
            (Promise::Below(5.0), 5.0, false),
            (Promise::AtMost(0.0), 0.0, true),
            (Promise::AtMost(0.0), 1.0, false),
            (Promise::AtLeast(0.65), 0.65, true),
            (Promise::AtLeast(0.65), 0.6, false),
            // What could not be measured keeps no promise.
            (Promise::AtMost(1.0), f64::NAN, false),
            (Promise::AtLeast(1.0), f64::NAN, false),
        ];
        for (promise, value, expected) in cases {
            assert_eq!(promise.is_kept(value), expected, "{value} {promise}");
        }
        assert_eq!(missed(&[figure(50.0), bare(9.0)]), [""; 0]);
        assert_eq!(missed(&[figure(175.0)]), ["missed: bind_ms is 175 ms, promised is < 150"]);
    }
}

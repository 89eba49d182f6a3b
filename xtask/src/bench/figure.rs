//! What a bench prints: values, what they are compared with, and what is promised.

use anyhow::Result;
use serde::Serialize;

/// A figure that a bench can measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Ends in its unit.
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// The same figure of the original, or of another yardstick that the description names.
    pub(super) yardstick: Option<f64>,
    pub(super) promise: Option<Promise>,
    /// What is measured, and what the yardstick is.
    pub(super) what: &'static str,
}

/// What is promised of a figure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Promise {
    Below(f64),
    AtLeast(f64),
    AtMost(f64),
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

/// A figure that was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) kind: &'static Kind,
    pub(super) value: f64,
}

impl Figure {
    fn ratio(&self) -> Option<f64> {
        self.kind.yardstick.map(|yardstick| self.value / yardstick)
    }

    fn row(&self) -> [String; 6] {
        let Kind { name, unit, yardstick, promise, .. } = self.kind;
        let or_dash = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), shown);
        let promise = promise.map_or_else(|| "-".to_owned(), |promise| promise.to_string());
        let cells = [or_dash(*yardstick), or_dash(self.ratio()), promise];
        let [yardstick, ratio, promise] = cells;
        [(*name).to_owned(), shown(self.value), (*unit).to_owned(), yardstick, ratio, promise]
    }
}

/// What programs read, in this order.
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
        let Kind { name, unit, yardstick, .. } = *figure.kind;
        let (value, ratio) = (rounded(figure.value), figure.ratio().map(rounded));
        serde_json::to_string(&Line { name, value, unit, yardstick, ratio })
    };
    let lines: Vec<_> = figures.iter().map(line).collect::<Result<_, _>>()?;
    Ok(lines.join("\n"))
}

/// A table, and what each figure is, for people.
pub(super) fn table(figures: &[Figure]) -> String {
    let head = ["figure", "value", "unit", "yardstick", "ratio", "promise"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(figures.iter().map(Figure::row)).collect();
    let line = |[name, value, unit, yardstick, ratio, promise]: &[String; 6]| {
        format!("{name:<26} {value:>9} {unit:<5} {yardstick:>10} {ratio:>8} {promise:>9}\n")
    };
    let what = |figure: &Figure| format!("  {}: {}\n", figure.kind.name, figure.kind.what);
    let rows: String = rows.iter().map(line).collect();
    rows + "\n" + figures.iter().map(what).collect::<String>().trim_end()
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

    const KIND: Kind = Kind {
        name: "bind_ms",
        unit: "ms",
        yardstick: Some(200.0),
        promise: Some(Promise::Below(150.0)),
        what: "binds",
    };
    const BARE: Kind = Kind { yardstick: None, promise: None, ..KIND };

    #[test]
    fn a_line_of_json_has_the_five_fields() {
        let figures = [Figure { kind: &KIND, value: 50.12349 }, Figure { kind: &BARE, value: 1.0 }];
        let text = json(&figures).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(
            lines[0],
            r#"{"name":"bind_ms","value":50.123,"unit":"ms","yardstick":200.0,"ratio":0.251}"#
        );
        assert!(lines[1].ends_with(r#""yardstick":null,"ratio":null}"#), "{text}");
    }

    #[test]
    fn the_table_lines_up_and_says_what_is_measured() {
        let text = table(&[Figure { kind: &KIND, value: 50.0 }, Figure { kind: &BARE, value: 1234.5 }]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0].len(), lines[1].len());
        assert_eq!(lines[1].len(), lines[2].len());
        assert!(
            lines[1].contains("50.00") && lines[1].contains("< 150") && lines[1].contains("0.25"),
            "{text}"
        );
        assert!(text.ends_with("bind_ms: binds"), "{text}");
    }
}

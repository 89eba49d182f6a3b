//! The `matchExpressions` of a selector. Those about one label are looked at together, so that their order does not
//! matter: a value that one of them offers may be one that another excludes.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::{api::devportal::LABEL_PRODUCT, text::quoted};
use serde_json::Value;

use super::valid;

/// Values for a label that may have any.
const ANYTHING: [&str; 3] = ["true", "set", "any"];

/// What all expressions about one label ask for.
#[derive(Debug, Default)]
struct LabelConstraints<'a> {
    /// The values of the first `In`, in order.
    offered: Vec<&'a str>,
    /// The values that every `In` has; `None` without any `In`.
    allowed: Option<BTreeSet<&'a str>>,
    excluded: BTreeSet<&'a str>,
    must_exist: bool,
    must_be_absent: bool,
}

/// Changes labels that are not fixed, so that all expressions match.
///
/// # Errors
/// Says why no labels do.
pub(super) fn satisfy(
    labels: &mut BTreeMap<String, String>,
    fixed: &[String],
    expressions: &Value,
) -> Result<(), String> {
    let mut by_label: BTreeMap<&str, LabelConstraints<'_>> = BTreeMap::new();
    for expression in expressions.as_array().into_iter().flatten() {
        let label = expression["key"].as_str().unwrap_or_default();
        by_label.entry(label).or_default().add(label, expression)?;
    }
    for (label, wanted) in by_label {
        let is_fixed = fixed.iter().any(|name| name == label);
        if wanted.takes(labels.get(label).map(String::as_str)) {
            continue;
        }
        // The label with the product's name stays: Secrets are found by it.
        if !is_fixed && label != LABEL_PRODUCT && wanted.takes(None) {
            labels.remove(label);
            continue;
        }
        let may_be_set = !is_fixed && (label != LABEL_PRODUCT || wanted.allowed.is_some());
        let Some(value) = wanted.value().filter(|_| may_be_set) else {
            return Err(format!("no label {label} satisfies everything that the selector says about it"));
        };
        labels.insert(label.to_owned(), value.to_owned());
    }
    Ok(())
}

impl<'a> LabelConstraints<'a> {
    fn add(&mut self, label: &str, expression: &'a Value) -> Result<(), String> {
        let operator = expression["operator"].as_str().unwrap_or_default();
        let values = expression["values"].as_array().into_iter().flatten();
        let values: Option<Vec<&'a str>> = values.map(Value::as_str).collect();
        let values = values.ok_or_else(|| format!("a value for label {} is no text", quoted(label)))?;
        valid(label, &values)?;
        if matches!(operator, "In" | "NotIn") == values.is_empty() {
            let number = values.len();
            return Err(format!("{} of label {label} does not go with {number} values", quoted(operator)));
        }
        match operator {
            "In" => self.allow(values),
            "NotIn" => self.excluded.extend(values),
            "Exists" => self.must_exist = true,
            "DoesNotExist" => self.must_be_absent = true,
            _ => return Err(format!("{} of label {label} is no operator", quoted(operator))),
        }
        Ok(())
    }

    fn allow(&mut self, values: Vec<&'a str>) {
        self.must_exist = true;
        let these: BTreeSet<&'a str> = values.iter().copied().collect();
        self.allowed = Some(if let Some(known) = self.allowed.take() {
            known.intersection(&these).copied().collect()
        } else {
            self.offered = values;
            these
        });
    }

    /// Returns `true` if all expressions match a value, or the absence of one.
    fn takes(&self, value: Option<&str>) -> bool {
        let Some(value) = value else { return !self.must_exist };
        let is_allowed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(value));
        is_allowed && !self.must_be_absent && !self.excluded.contains(value)
    }

    /// A value that all expressions match.
    fn value(&self) -> Option<&'a str> {
        self.offered.iter().copied().chain(ANYTHING).find(|&value| self.takes(Some(value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_expressions_about_a_label_count_in_whatever_order() {
        let is_in = |values: &[&str]| json!({"key": "tier", "operator": "In", "values": values});
        let not_in = |values: &[&str]| json!({"key": "tier", "operator": "NotIn", "values": values});
        let exists = || json!({"key": "tier", "operator": "Exists"});
        let absent = || json!({"key": "tier", "operator": "DoesNotExist"});
        let table = [
            (vec![is_in(&["a", "b"]), not_in(&["a"])], Some(Some("b"))),
            (vec![is_in(&["a", "b"]), is_in(&["b", "c"])], Some(Some("b"))),
            (vec![exists(), is_in(&["b"])], Some(Some("b"))),
            (vec![exists(), not_in(&["true"])], Some(Some("set"))),
            (vec![absent(), not_in(&["a"])], Some(None)),
            (vec![is_in(&["a"]), not_in(&["a"])], None),
            (vec![is_in(&["a"]), is_in(&["b"])], None),
            (vec![is_in(&["a"]), absent()], None),
            (vec![exists(), absent()], None),
        ];
        for (expressions, expected) in table {
            let backwards: Vec<_> = expressions.iter().rev().cloned().collect();
            for expressions in [json!(expressions), json!(backwards)] {
                let mut labels = BTreeMap::new();
                let found = satisfy(&mut labels, &[], &expressions);
                let found = found.is_ok().then(|| labels.get("tier").map(String::as_str));
                assert_eq!(found, expected, "{expressions}");
            }
        }
    }

    #[test]
    fn fixed_labels_and_the_product_s_own_stay() {
        let labels = || BTreeMap::from([(LABEL_PRODUCT.to_owned(), "p".to_owned())]);
        let fixed = [LABEL_PRODUCT.to_owned()];
        let table: [(&str, &[&str], &[String], bool); 5] = [
            ("NotIn", &["p"], &[], false),
            ("DoesNotExist", &[], &[], false),
            ("In", &["q"], &[], true),
            ("In", &["q"], &fixed, false),
            ("In", &["q", "p"], &fixed, true),
        ];
        for (operator, values, fixed, expected) in table {
            let expression = json!([{"key": LABEL_PRODUCT, "operator": operator, "values": values}]);
            let satisfied = satisfy(&mut labels(), fixed, &expression);
            assert_eq!(satisfied.is_ok(), expected, "{operator} {values:?} {fixed:?}");
        }
    }
}

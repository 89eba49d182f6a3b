//! Annotations of products by their owners: limits on keys.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use kube::ResourceExt as _;
use portolan_core::{
    api::devportal::{ANNOTATION_MAX_KEYS_PER_USER, ANNOTATION_MAX_LIFETIME, APIProduct},
    text::quoted,
};

use crate::lifetime;

/// The longest life of the keys of a product. One that makes no sense is no limit.
pub fn max_lifetime(product: &APIProduct) -> Option<SignedDuration> {
    lifetime_of(product.annotations().get(ANNOTATION_MAX_LIFETIME)?)
}

/// The number of keys that one user may have of a product. One that makes no sense does not count.
pub fn max_keys(product: &APIProduct) -> Option<usize> {
    number(product.annotations().get(ANNOTATION_MAX_KEYS_PER_USER)?)
}

/// Says what makes no sense: people believe that it is in force.
pub fn mistakes(annotations: &BTreeMap<String, String>) -> Vec<String> {
    let is_lifetime = |text: &str| lifetime_of(text).is_some();
    let is_number = |text: &str| number(text).is_some();
    let rules = [
        (
            ANNOTATION_MAX_LIFETIME,
            is_lifetime as fn(&str) -> bool,
            "a time such as 90d or 12h: keys live as long as they ask for",
        ),
        (ANNOTATION_MAX_KEYS_PER_USER, is_number, "a number: the controller's own limit is in force"),
    ];
    let wrong = rules.iter().filter_map(|(name, is_right, wanted)| {
        let text = annotations.get(*name).filter(|text| !is_right(text))?;
        Some(format!("{name}: {} is not {wanted}", quoted(text)))
    });
    wrong.collect()
}

/// No time at all would end every key at once, and for good. So it is a mistake.
fn lifetime_of(text: &str) -> Option<SignedDuration> {
    lifetime::parse(text).filter(|span| !span.is_zero())
}

fn number(text: &str) -> Option<usize> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_named() {
        for (name, text, is_right) in [
            (ANNOTATION_MAX_LIFETIME, "90d", true),
            (ANNOTATION_MAX_LIFETIME, " 12h ", true),
            (ANNOTATION_MAX_LIFETIME, "90 days", false),
            (ANNOTATION_MAX_LIFETIME, "0", false),
            (ANNOTATION_MAX_LIFETIME, "0d", false),
            (ANNOTATION_MAX_LIFETIME, "", false),
            (ANNOTATION_MAX_KEYS_PER_USER, "0", true),
            (ANNOTATION_MAX_KEYS_PER_USER, "-1", false),
            (ANNOTATION_MAX_KEYS_PER_USER, "ten", false),
            ("example.com/other", "90 days", true),
        ] {
            let annotations = [(name.to_owned(), text.to_owned())].into();
            let found = mistakes(&annotations);
            assert_eq!(found.is_empty(), is_right, "{name}: {text:?}");
            assert!(found.iter().all(|mistake| mistake.contains(name)), "{found:?}");
        }
        assert!(mistakes(&BTreeMap::new()).is_empty());
    }
}

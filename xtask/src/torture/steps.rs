//! Steps of a run, with their weights: names that a person gives, chosen by a seeded generator.

use clap::builder::PossibleValue;
use rand::{RngExt as _, rngs::StdRng};

/// A side of a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Consumer,
    Provider,
}

/// One of the things that can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Create,
    Change,
    Delete,
    Recreate,
    Status,
    Number,
    Meddle,
    Uproot,
    Foreign,
    Strip,
    Copy,
    Kill,
    ApiServer,
    Freeze,
    Label,
    Version,
    Schema,
    Secret,
    Rotate,
    Webhook,
    Restore,
}

/// The facts about a step before it is taken.
#[derive(Debug)]
pub(super) struct About {
    pub(super) step: Step,
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// The side whose API server it needs.
    pub(super) needs: Side,
    weight: u32,
}

const fn about(step: Step, name: &'static str, needs: Side, weight: u32, what: &'static str) -> About {
    About { step, name, what, needs, weight }
}

/// All of them, with the weight among their like. The first five are taken in every run: without them nothing would
/// be at stake.
pub(super) const STEPS: [About; 21] = [
    about(Step::Create, "create", Side::Consumer, 30, "a user makes an object"),
    about(
        Step::Change,
        "change",
        Side::Consumer,
        30,
        "a user changes or removes a field, a label, an annotation",
    ),
    about(Step::Delete, "delete", Side::Consumer, 8, "a user deletes an object"),
    about(
        Step::Recreate,
        "recreate",
        Side::Consumer,
        6,
        "a user deletes an object and makes another of its name",
    ),
    about(Step::Status, "status", Side::Provider, 20, "the provider writes a status"),
    about(Step::Number, "number", Side::Consumer, 4, "a user writes a number with many digits"),
    about(Step::Meddle, "meddle", Side::Provider, 6, "somebody on the provider changes a copy"),
    about(Step::Uproot, "uproot", Side::Provider, 4, "somebody on the provider deletes a copy"),
    about(
        Step::Foreign,
        "foreign",
        Side::Provider,
        4,
        "the provider makes, or removes, an object of its own among the copies",
    ),
    about(Step::Strip, "strip", Side::Provider, 3, "somebody takes our marks off a copy"),
    about(
        Step::Copy,
        "copy",
        Side::Provider,
        3,
        "the provider makes a child of a copy, with all its annotations",
    ),
    about(Step::Kill, "kill", Side::Consumer, 3, "a process of ours is killed, and comes back"),
    about(Step::ApiServer, "apiserver", Side::Consumer, 2, "an API server goes away, and comes back"),
    about(Step::Freeze, "freeze", Side::Consumer, 1, "connections of the konnector fall silent"),
    about(Step::Label, "label", Side::Provider, 2, "a kind is withdrawn, and offered again"),
    about(Step::Version, "version", Side::Provider, 2, "a version is added, or an old one dropped"),
    about(Step::Schema, "schema", Side::Provider, 1, "a field is added to a schema"),
    about(
        Step::Secret,
        "secret",
        Side::Consumer,
        1,
        "the Secret holds nonsense, or the kubeconfig of another contract",
    ),
    about(Step::Rotate, "rotate", Side::Consumer, 1, "the Secret gets a new kubeconfig"),
    about(Step::Webhook, "webhook", Side::Provider, 1, "an admission webhook of the provider fails"),
    about(Step::Restore, "restore", Side::Consumer, 1, "a side is restored from a backup"),
];

/// Number of [`STEPS`] that are taken in every run.
const EVERYDAY: usize = 5;

impl Step {
    pub(super) fn about(self) -> &'static About {
        // The table has an entry for each of them; a test says so.
        STEPS.iter().find(|about| about.step == self).unwrap_or(&STEPS[0])
    }

    pub(super) fn is_everyday(self) -> bool {
        STEPS[..EVERYDAY].iter().any(|about| about.step == self)
    }

    /// Returns `true` if the step breaks something, or changes what is offered.
    pub(super) fn is_fault(self) -> bool {
        self >= Self::Kill
    }

    /// Returns `true` if the step is a write to a copy, or beside one, that admission may refuse.
    pub(super) fn writes_copies(self) -> bool {
        matches!(self, Self::Meddle | Self::Uproot | Self::Foreign | Self::Strip | Self::Copy | Self::Version)
    }

    /// The names that a person may give.
    pub(super) fn values() -> impl Iterator<Item = PossibleValue> {
        STEPS.iter().map(|about| PossibleValue::new(about.name).help(about.what))
    }

    /// The steps of these names and those of every day; all where none is named.
    pub(super) fn chosen(names: &[String]) -> Vec<Self> {
        let is = |step: Self| {
            names.is_empty() || step.is_everyday() || names.iter().any(|name| name == step.about().name)
        };
        STEPS.iter().map(|about| about.step).filter(|step| is(*step)).collect()
    }
}

/// One step in this many is not one of every day.
const SPECIAL: f64 = 0.25;

/// One of `steps`, by their weights.
pub(super) fn choose(rng: &mut StdRng, steps: &[Step]) -> Option<Step> {
    let (everyday, special): (Vec<Step>, Vec<Step>) = steps.iter().partition(|step| step.is_everyday());
    let is_special = rng.random_bool(SPECIAL);
    let wanted = if is_special && !special.is_empty() { special } else { everyday };
    let total: u32 = wanted.iter().map(|step| step.about().weight).sum();
    let mut point: u32 = rng.random_range(0..total.max(1));
    wanted.into_iter().find(|step| {
        let weight = step.about().weight;
        let is_it = point < weight;
        point = point.saturating_sub(weight);
        is_it
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn each_step_has_one_entry_and_one_name() {
        let names: BTreeSet<_> = STEPS.iter().map(|about| about.name).collect();
        let steps: BTreeSet<_> = STEPS.iter().map(|about| about.step).collect();
        assert_eq!((names.len(), steps.len()), (STEPS.len(), STEPS.len()));
        assert!(STEPS.iter().all(|about| about.step.about().name == about.name));
    }

    #[test]
    fn what_a_person_names_comes_on_top_of_every_day() {
        let chosen = Step::chosen(&["label".to_owned()]);
        assert_eq!(chosen.len(), EVERYDAY + 1);
        assert!(chosen.contains(&Step::Create) && chosen.contains(&Step::Label));
        assert_eq!(Step::chosen(&[]).len(), STEPS.len());
    }

    #[test]
    fn a_seed_gives_the_same_steps_and_every_step_comes() {
        let take = |seed| {
            let mut rng = StdRng::seed_from_u64(seed);
            (0..4000).filter_map(|_| choose(&mut rng, &Step::chosen(&[]))).collect::<Vec<_>>()
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
        let mut counts = BTreeMap::new();
        for step in take(1) {
            *counts.entry(step).or_insert(0) += 1;
        }
        assert_eq!(counts.len(), STEPS.len(), "{counts:?}");
        assert!(counts[&Step::Create] > counts[&Step::Kill] * 3, "{counts:?}");
        let one = Step::chosen(&["label".to_owned()]);
        let mut rng = StdRng::seed_from_u64(1);
        let labels = (0..400).filter(|_| choose(&mut rng, &one) == Some(Step::Label)).count();
        assert!((50..150).contains(&labels), "{labels}");
    }

    #[test]
    fn nothing_to_choose_from_is_no_step() {
        assert_eq!(choose(&mut StdRng::seed_from_u64(1), &[]), None);
    }
}

//! Isolation of the copies of several consumers, for one CRD. Pure.

use clap::ValueEnum;
use portolan_core::api::kubebind::{InformerScope, Isolation, ResourceScope};

/// Annotation on an exported CRD: `prefixed`, `namespaced` or `none` instead of what `--isolation` says.
pub const ANNOTATION_ISOLATION: &str = "kube-bind.io/isolation";
/// Annotation on an exported CRD: `namespaced` or `cluster` instead of what `--consumer-scope` says.
pub const ANNOTATION_CONSUMER_SCOPE: &str = "kube-bind.io/consumer-scope";

/// Isolation of the cluster-scoped copies of several consumers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum IsolationFlag {
    /// The copy is named `<contract namespace>-<name>`.
    #[default]
    Prefixed,
    /// Namespaced kinds appear cluster-scoped to consumers; the copies stand in the contract namespace.
    Namespaced,
    /// The copy has the same name.
    None,
}

/// Reach of a consumer's watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ConsumerScope {
    /// One watch per namespace that was made for the consumer.
    #[default]
    Namespaced,
    /// One watch across the cluster.
    Cluster,
}

/// The operator's choice for all CRDs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tenancy {
    pub isolation: IsolationFlag,
    pub scope: ConsumerScope,
    /// `true` if consumers may see one another where RBAC cannot separate them.
    pub allow_shared: bool,
}

/// The terms of one CRD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenancyTerms {
    /// The scope that consumers see.
    pub scope: ResourceScope,
    pub isolation: Isolation,
    pub reach: InformerScope,
    /// Place of the copies.
    pub place: CopyPlace,
}

/// Place of a consumer's copies, and with that the rights it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyPlace {
    /// In namespaces that were made for the consumer.
    Mapped,
    /// In the contract namespace.
    Contract,
    /// In none.
    Cluster,
}

impl TenancyTerms {
    /// The terms on which a kind of this scope was exported.
    pub const fn agreed(scope: ResourceScope, isolation: Isolation, reach: InformerScope) -> Self {
        let (scope, place) = match (scope, isolation) {
            (ResourceScope::Namespaced, Isolation::Namespaced) => {
                (ResourceScope::Cluster, CopyPlace::Contract)
            }
            (ResourceScope::Namespaced, _) => (ResourceScope::Namespaced, CopyPlace::Mapped),
            (ResourceScope::Cluster, _) => (ResourceScope::Cluster, CopyPlace::Cluster),
        };
        Self { scope, isolation, reach, place }
    }

    /// Returns `true` if a consumer can see copies of others.
    pub fn is_shared(self) -> bool {
        self.place == CopyPlace::Cluster
            || (self.place == CopyPlace::Mapped && self.reach == InformerScope::Cluster)
    }
}

impl Tenancy {
    /// The terms of a CRD of a scope with these annotations. The error is for people.
    pub fn terms<'a>(
        self,
        scope: ResourceScope,
        annotation: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<TenancyTerms, String> {
        let isolation = said(&annotation, ANNOTATION_ISOLATION)?.unwrap_or(self.isolation);
        let reach = said(&annotation, ANNOTATION_CONSUMER_SCOPE)?.unwrap_or(self.scope);
        if scope == ResourceScope::Cluster && isolation == IsolationFlag::Namespaced {
            return Err(format!(
                "Its scope is Cluster, and isolation namespaced needs a namespaced kind, whose copies stand in the \
                 contract namespace. Annotate it with {ANNOTATION_ISOLATION}=prefixed."
            ));
        }
        let terms = TenancyTerms::agreed(scope, isolation.into(), reach.into());
        if terms.is_shared() && !self.allow_shared {
            return Err(refusal(terms.place));
        }
        Ok(terms)
    }
}

fn refusal(place: CopyPlace) -> String {
    let (what, instead) = match place {
        CopyPlace::Cluster => (
            "Its scope is Cluster",
            "Export a namespaced kind, which the isolation namespaced shows cluster-scoped to consumers",
        ),
        CopyPlace::Mapped | CopyPlace::Contract => {
            ("It is to be watched across the cluster", "Leave the consumer scope at namespaced")
        }
    };
    format!(
        "{what}, and RBAC cannot hide the objects of one consumer from another there. {instead}, or start the \
         provider with --allow-shared (and its chart's rules for that) if consumers may see each other's objects."
    )
}

fn said<'a, T: ValueEnum>(
    annotation: impl Fn(&str) -> Option<&'a str>,
    key: &str,
) -> Result<Option<T>, String> {
    let Some(value) = annotation(key) else { return Ok(None) };
    let names = || T::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    T::from_str(value, true).map(Some).map_err(|_| {
        let known: Vec<_> = names().map(|name| name.get_name().to_owned()).collect();
        format!("Its annotation {key} is {value:?}. Use one of: {}.", known.join(", "))
    })
}

impl From<IsolationFlag> for Isolation {
    fn from(flag: IsolationFlag) -> Self {
        match flag {
            IsolationFlag::Prefixed => Self::Prefixed,
            IsolationFlag::Namespaced => Self::Namespaced,
            IsolationFlag::None => Self::None,
        }
    }
}

impl From<ConsumerScope> for InformerScope {
    fn from(scope: ConsumerScope) -> Self {
        match scope {
            ConsumerScope::Namespaced => Self::Namespaced,
            ConsumerScope::Cluster => Self::Cluster,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(
        tenancy: Tenancy,
        scope: ResourceScope,
        said: &[(&str, &'static str)],
    ) -> Result<TenancyTerms, String> {
        tenancy.terms(scope, |key| said.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    #[test]
    fn scope_and_isolation_decide_where_copies_stand() {
        use ResourceScope as S;
        let shared = Tenancy { allow_shared: true, ..Tenancy::default() };
        let table = [
            (S::Namespaced, "prefixed", "namespaced", S::Namespaced, CopyPlace::Mapped, false),
            (S::Namespaced, "none", "cluster", S::Namespaced, CopyPlace::Mapped, true),
            (S::Namespaced, "namespaced", "cluster", S::Cluster, CopyPlace::Contract, false),
            (S::Cluster, "Prefixed", "namespaced", S::Cluster, CopyPlace::Cluster, true),
            (S::Cluster, "none", "cluster", S::Cluster, CopyPlace::Cluster, true),
        ];
        for (scope, isolation, reach, seen, place, is_shared) in table {
            let said = [(ANNOTATION_ISOLATION, isolation), (ANNOTATION_CONSUMER_SCOPE, reach)];
            let found = terms(shared, scope, &said).unwrap();
            assert_eq!((found.scope, found.place, found.is_shared()), (seen, place, is_shared), "{said:?}");
            assert_eq!(terms(Tenancy::default(), scope, &said).is_err(), is_shared, "{said:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let refused = |scope, said: &[_]| terms(Tenancy::default(), scope, said).unwrap_err();
        let impossible = refused(ResourceScope::Cluster, &[(ANNOTATION_ISOLATION, "namespaced")]);
        assert!(impossible.contains("kube-bind.io/isolation=prefixed"), "{impossible}");
        let misspelt = refused(ResourceScope::Namespaced, &[(ANNOTATION_ISOLATION, "prefix")]);
        assert!(misspelt.contains("prefixed, namespaced, none"), "{misspelt}");
        assert!(refused(ResourceScope::Cluster, &[]).contains("--allow-shared"));
    }
}

//! Places of copies on the provider, and the object on the consumer that each of them is for. Pure.

use portolan_core::api::kubebind::{InformerScope, Isolation, ResourceScope};

/// The relation between places on the consumer and on the provider, for one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// A namespaced kind: the provider answers for each namespace of the consumer with one of its own.
    Mapped {
        /// `true` if one watch reaches across all namespaces of the provider.
        cluster_wide: bool,
    },
    /// A cluster-scoped kind: the copy is named `<contract namespace>-<name>`.
    Prefixed,
    /// A kind that is cluster-scoped on the consumer and namespaced on the provider: all copies stand in the
    /// contract namespace.
    Contract,
    /// A cluster-scoped kind whose copies have the same names.
    Same,
}

impl Placement {
    /// The placement that an export asks for.
    pub fn of(scope: ResourceScope, isolation: Isolation, reach: InformerScope) -> Self {
        match (scope, isolation) {
            (ResourceScope::Namespaced, _) => Self::Mapped { cluster_wide: reach == InformerScope::Cluster },
            (ResourceScope::Cluster, Isolation::Prefixed) => Self::Prefixed,
            (ResourceScope::Cluster, Isolation::Namespaced) => Self::Contract,
            (ResourceScope::Cluster, Isolation::None) => Self::Same,
        }
    }

    /// The name of the copy of an object.
    pub fn copy_name(self, contract: &str, origin: &str) -> String {
        match self {
            Self::Prefixed => format!("{contract}-{origin}"),
            Self::Mapped { .. } | Self::Contract | Self::Same => origin.to_owned(),
        }
    }

    /// The name of the object that a copy would be for. That the name fits does not make it a copy: `a-b-c`
    /// fits the contract namespaces `a` and `a-b`. Only its marks do.
    pub fn origin_name(self, contract: &str, copy: &str) -> Option<String> {
        let name = match self {
            Self::Prefixed => copy.strip_prefix(contract)?.strip_prefix('-')?,
            Self::Mapped { .. } | Self::Contract | Self::Same => copy,
        };
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// Returns `true` if copies stand in no namespace. They belong to the contract namespace, and are deleted with
    /// it.
    pub fn is_cluster_scoped(self) -> bool {
        matches!(self, Self::Prefixed | Self::Same)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_and_isolation_decide() {
        use {InformerScope as Reach, Isolation as I, ResourceScope as S};
        let table = [
            (S::Namespaced, I::Prefixed, Reach::Namespaced, Placement::Mapped { cluster_wide: false }),
            (S::Namespaced, I::None, Reach::Cluster, Placement::Mapped { cluster_wide: true }),
            (S::Cluster, I::Prefixed, Reach::Namespaced, Placement::Prefixed),
            (S::Cluster, I::Namespaced, Reach::Namespaced, Placement::Contract),
            (S::Cluster, I::None, Reach::Cluster, Placement::Same),
        ];
        for (scope, isolation, reach, expected) in table {
            assert_eq!(Placement::of(scope, isolation, reach), expected);
        }
    }

    #[test]
    fn names_lead_there_and_back() {
        for placement in [Placement::Prefixed, Placement::Contract, Placement::Same] {
            let there = placement.copy_name("team-a", "x");
            assert_eq!(placement.origin_name("team-a", &there).as_deref(), Some("x"));
        }
        assert_eq!(Placement::Prefixed.copy_name("team-a", "x"), "team-a-x");
        for stranger in ["x", "team-ab-x", "team-a", "team-a-"] {
            assert_eq!(Placement::Prefixed.origin_name("team-a", stranger), None, "{stranger}");
        }
    }
}

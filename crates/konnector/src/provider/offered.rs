//! The kubeconfig that the provider offers for renewal. Pure.

use portolan_core::{condition::Verdict, kubeconfig};

/// The kubeconfig that the provider offers for renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum OfferedKubeconfig {
    /// The consumer does not want it.
    #[default]
    NotAskedFor,
    /// A kubeconfig that can be used.
    Valid,
    /// There is no such Secret, or not the key in it.
    Missing(String),
    /// Its content cannot be used.
    Invalid(String),
}

impl OfferedKubeconfig {
    /// The verdict that the provider gets.
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::NotAskedFor | Self::Valid => Verdict::holds(),
            Self::Missing(what) => Verdict::warning("ProviderSecretNotFound", format!("{what} not found.")),
            Self::Invalid(why) => Verdict::warning("ProviderSecretInvalid", why.clone()),
        }
    }

    pub(super) fn of(content: Option<&[u8]>, name: &str, key: &str) -> Self {
        let Some(content) = content else { return Self::Missing(format!("Secret {name} with key {key}")) };
        match kubeconfig::parse(content) {
            Ok(_) => Self::Valid,
            Err(error) => Self::Invalid(format!("Secret {name} has an invalid kubeconfig: {error}")),
        }
    }
}

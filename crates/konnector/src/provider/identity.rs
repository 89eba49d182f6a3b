//! The check that a kubeconfig leads to the contract that was bound. Pure.
//!
//! A contract is its namespace, by uid. Where the provider does not show that, it is the server and the name.

use portolan_core::{api::kubebind::ANNOTATION_ACCEPT_CONTRACT, condition::Verdict};

use crate::word::ContractWord;

/// Reason on bundles and bindings: the kubeconfig leads to a contract that nobody has agreed to.
pub const ANOTHER_CONTRACT: &str = "AnotherContract";

/// Reason on bundles and bindings: the provider is perhaps not the one that was bound.
pub const PROVIDER_SUSPECT: &str = "ProviderSuspect";

/// The contract namespace as the provider shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum FoundContract {
    /// Nothing yet.
    #[default]
    NotYet,
    Uid(String),
    /// It does not let us see the namespace.
    Hidden,
    Gone,
}

/// The target of a kubeconfig.
#[derive(Clone, Debug)]
pub(super) struct KubeconfigTarget {
    pub(super) server: String,
    pub(super) namespace: String,
}

impl KubeconfigTarget {
    /// The name of a contract that shows no uid.
    fn name(&self) -> String {
        format!("{}/{}", self.server.trim_end_matches('/'), self.namespace)
    }
}

/// The answers to whether it is the same contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContractIdentity {
    NotYet,
    /// The contract to work with, as it is to be recorded.
    Agreed(String),
    Refused(Verdict),
}

pub(super) fn identify(
    found: &FoundContract,
    place: &KubeconfigTarget,
    word: &ContractWord,
) -> ContractIdentity {
    let agreed = |name: &str| {
        let known = [&word.recorded, &word.accepts].into_iter().flatten();
        word.recorded.is_none() || known.into_iter().any(|known| known == name)
    };
    let name = place.name();
    match found {
        FoundContract::NotYet => ContractIdentity::NotYet,
        // What was hidden when it was recorded shows itself now.
        FoundContract::Uid(uid) if agreed(uid) || word.recorded.as_ref() == Some(&name) => {
            ContractIdentity::Agreed(uid.clone())
        }
        FoundContract::Hidden if agreed(&name) => ContractIdentity::Agreed(name),
        FoundContract::Uid(uid) => ContractIdentity::Refused(another(uid, place, word)),
        FoundContract::Hidden => ContractIdentity::Refused(hidden(&name, place, word)),
        FoundContract::Gone => ContractIdentity::Refused(gone(place)),
    }
}

fn another(found: &str, place: &KubeconfigTarget, word: &ContractWord) -> Verdict {
    let (namespace, recorded) = (&place.namespace, word.recorded.as_deref().unwrap_or_default());
    let message = format!(
        "The kubeconfig leads to another contract: namespace {namespace} on the provider has the uid {found}, and the \
         bindings belong to {recorded}. Nothing is written, and existing bindings stay. Put the right kubeconfig into \
         the Secret; or, if this one is meant, look at `konnector plan former`, and then: {}",
        word.command(ANNOTATION_ACCEPT_CONTRACT, found)
    );
    Verdict::error(ANOTHER_CONTRACT, message)
}

fn hidden(name: &str, place: &KubeconfigTarget, word: &ContractWord) -> Verdict {
    let message = format!(
        "The provider does not let the konnector see namespace {}, so it cannot tell whether this is the contract \
         that is bound. Nothing is written, and existing bindings stay. Restore `get` on that namespace to its \
         account; or, if this is the right contract: {}",
        place.namespace,
        word.command(ANNOTATION_ACCEPT_CONTRACT, name)
    );
    Verdict::warning(PROVIDER_SUSPECT, message)
}

fn gone(place: &KubeconfigTarget) -> Verdict {
    let message = format!(
        "The contract namespace {} does not exist on the provider. Nothing is written, and existing bindings stay: \
         check where the kubeconfig leads.",
        place.namespace
    );
    Verdict::warning(PROVIDER_SUSPECT, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "https://p:6443/tenant";

    fn identified(
        found: &FoundContract,
        recorded: Option<&str>,
        accepts: Option<&str>,
    ) -> Result<String, String> {
        let place = KubeconfigTarget { server: "https://p:6443/".to_owned(), namespace: "tenant".to_owned() };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let word = ContractWord {
            about: "apiservicebindingbundle/b".to_owned(),
            recorded: owned(recorded),
            accepts: owned(accepts),
            takes_over: None,
        };
        match identify(found, &place, &word) {
            ContractIdentity::NotYet => Ok(String::new()),
            ContractIdentity::Agreed(name) => Ok(name),
            ContractIdentity::Refused(verdict) => Err(verdict.reason),
        }
    }

    #[test]
    fn only_the_recorded_contract_or_one_that_people_have_named_is_worked_with() {
        let uid = |uid: &str| FoundContract::Uid(uid.to_owned());
        let (same, another) = (|name: &str| Ok(name.to_owned()), || Err(ANOTHER_CONTRACT.to_owned()));
        let suspect = || Err(PROVIDER_SUSPECT.to_owned());
        let table = [
            (FoundContract::NotYet, Some("a"), None, same("")),
            (uid("a"), None, None, same("a")),
            (uid("a"), Some("a"), None, same("a")),
            (uid("a"), Some("a"), Some("b"), same("a")),
            (uid("b"), Some("a"), None, another()),
            (uid("b"), Some("a"), Some("b"), same("b")),
            (uid("b"), Some("a"), Some("c"), another()),
            (uid("b"), Some("a"), Some(""), another()),
            (FoundContract::Hidden, None, None, same(PLACE)),
            (FoundContract::Hidden, Some(PLACE), None, same(PLACE)),
            (FoundContract::Hidden, Some("https://q:6443/tenant"), None, suspect()),
            (FoundContract::Hidden, Some("https://q:6443/tenant"), Some(PLACE), same(PLACE)),
            (FoundContract::Hidden, Some("a"), None, suspect()),
            (FoundContract::Hidden, Some("a"), Some("a"), suspect()),
            (uid("a"), Some(PLACE), None, same("a")),
            (uid("a"), Some("https://q:6443/tenant"), None, another()),
            (FoundContract::Gone, None, None, suspect()),
            (FoundContract::Gone, Some("a"), Some("a"), suspect()),
        ];
        for (found, recorded, accepts, expected) in table {
            assert_eq!(identified(&found, recorded, accepts), expected, "{found:?} {recorded:?} {accepts:?}");
        }
    }

    #[test]
    fn people_read_what_to_say() {
        let place = KubeconfigTarget { server: "https://p".to_owned(), namespace: "tenant".to_owned() };
        let word = ContractWord {
            about: "apiservicebindingbundle/b".to_owned(),
            recorded: Some("a".to_owned()),
            ..ContractWord::default()
        };
        let ContractIdentity::Refused(verdict) = identify(&FoundContract::Uid("b".to_owned()), &place, &word)
        else {
            panic!()
        };
        let command = "kubectl annotate --overwrite apiservicebindingbundle/b kube-bind.io/accept-contract=b";
        assert!(verdict.message.contains(command), "{}", verdict.message);
    }
}

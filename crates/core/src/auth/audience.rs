//! Audiences as Kubernetes means them: the answer is what the token and the question have in common, and a
//! question without any asks for those of the API server.

/// The audiences of the question that the token is for, in the order of the question. Empty means refusal.
///
/// # Examples
///
/// ```
/// use portolan_core::auth::audience;
///
/// let (wanted, token) = (["a".to_owned(), "b".to_owned()], ["b".to_owned()]);
/// assert_eq!(audience::intersection(&wanted, &token), ["b"]);
/// ```
pub fn intersection(wanted: &[String], token: &[String]) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    for audience in wanted {
        if token.contains(audience) && !common.contains(audience) {
            common.push(audience.clone());
        }
    }
    common
}

/// The audience by which clouds know the API server, whatever they call the issuer.
const API_SERVER: &str = "https://kubernetes.default.svc";

/// The audiences of the API server of a cluster with these issuers, as far as that can be known without asking it:
/// the issuers, which kube-apiserver takes unless a flag says otherwise. Clusters whose issuer is at a public
/// address are told otherwise.
pub fn of_api_server(issuers: &[String]) -> Vec<String> {
    let mut audiences = issuers.to_vec();
    let at_home = |issuer: &String| !is_url(issuer) || issuer.contains("//kubernetes.default");
    if !issuers.iter().any(at_home) {
        audiences.push(API_SERVER.to_owned());
    }
    audiences
}

fn is_url(issuer: &str) -> bool {
    issuer.starts_with("https://") || issuer.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_server_has_the_names_that_it_gives_itself() {
        let cluster = "https://kubernetes.default.svc.cluster.local";
        let table: [(&[&str], &[&str]); 6] = [
            (&[cluster], &[cluster]),
            (&[API_SERVER], &[API_SERVER]),
            (&["kubernetes/serviceaccount"], &["kubernetes/serviceaccount"]),
            (&["https://oidc.eks.test/id/X"], &["https://oidc.eks.test/id/X", API_SERVER]),
            (
                &["https://new.test", "https://old.test"],
                &["https://new.test", "https://old.test", API_SERVER],
            ),
            (&["https://new.test", cluster], &["https://new.test", cluster]),
        ];
        for (issuers, expected) in table {
            assert_eq!(of_api_server(&list(issuers)), list(expected), "{issuers:?}");
        }
    }

    fn list(audiences: &[&str]) -> Vec<String> {
        audiences.iter().map(|&audience| audience.to_owned()).collect()
    }

    #[test]
    fn the_intersection_has_the_order_of_the_question() {
        let table: [(&[&str], &[&str], &[&str]); 6] = [
            (&["a", "b"], &["b", "a"], &["a", "b"]),
            (&["a", "b"], &["b"], &["b"]),
            (&["b", "b"], &["b"], &["b"]),
            (&["a"], &["b"], &[]),
            (&["a"], &[], &[]),
            (&["A"], &["a"], &[]),
        ];
        for (wanted, token, expected) in table {
            assert_eq!(intersection(&list(wanted), &list(token)), list(expected), "{wanted:?} {token:?}");
        }
    }
}

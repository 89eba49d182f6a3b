//! Audiences as Kubernetes means them: the answer is what the token and the question have in common.

/// The audiences of the question that the token is for, in the order of the question. Empty means refusal.
pub fn intersection(wanted: &[String], token: &[String]) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    for audience in wanted {
        if token.contains(audience) && !common.contains(audience) {
            common.push(audience.clone());
        }
    }
    common
}

#[cfg(test)]
mod tests {
    use super::*;

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

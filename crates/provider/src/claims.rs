//! Claims that an annotation on the CRD makes, which go with its export. Pure.

use std::collections::BTreeSet;

use portolan_core::{
    api::kubebind::{ANNOTATION_PERMISSION_CLAIMS, ExportedResource, Isolation, PermissionClaim},
    claims,
};

/// The claims that an annotation makes. The error is for people.
pub fn parse(
    annotation: Option<&str>,
    resource: &ExportedResource,
    isolation: Isolation,
) -> Result<Vec<PermissionClaim>, String> {
    let Some(text) = annotation else { return Ok(Vec::new()) };
    let wrong = |why: &dyn std::fmt::Display| {
        format!(
            "Its annotation {ANNOTATION_PERMISSION_CLAIMS} is not a valid JSON list of permission claims: {why}"
        )
    };
    let read: Vec<PermissionClaim> = serde_json::from_str(text).map_err(|error| wrong(&error))?;
    let (_, invalid) = claims::read(&read, std::slice::from_ref(resource), isolation);
    match invalid.first() {
        Some(invalid) => Err(wrong(invalid)),
        None => Ok(read),
    }
}

/// Group and plural of what claims are on, as far as it may be claimed at all.
pub fn resources(claims: &[PermissionClaim]) -> BTreeSet<(&'static str, &'static str)> {
    let core = claims.iter().filter(|claim| claim.group.is_empty());
    core.filter_map(|claim| Some(("", claims::ClaimedResource::of(&claim.resource)?.plural()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PermissionClaim>, String> {
        let resource = ExportedResource {
            group: "wildwest.dev".to_owned(),
            resource: "cowboys".to_owned(),
            versions: Vec::new(),
        };
        parse(Some(text), &resource, Isolation::Prefixed)
    }

    #[test]
    fn claims_are_read_from_json_and_mistakes_are_named() {
        let good = r#"[{"resource": "secrets", "selector": {"references": [
            {"group": "wildwest.dev", "resource": "cowboys", "jsonPath": {"name": "spec.secretRef.name"}}]}}]"#;
        assert_eq!(resources(&read(good).unwrap()).into_iter().collect::<Vec<_>>(), [("", "secrets")]);
        assert_eq!(parse(None, &ExportedResource::default(), Isolation::None), Ok(Vec::new()));
        for (text, expected) in [
            ("secrets", "expected value"),
            (r#"[{"resource": "secrets"}]"#, "selector"),
            (r#"[{"resource": "pods", "selector": {}}]"#, "cannot be claimed"),
            (&good.replace("spec.secretRef.name", "spec.refs[*].name"), "spec.refs[*].name"),
            (&good.replace("cowboys", "sheriffs"), "not in the same export"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("kube-bind.io/permission-claims") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn only_what_may_be_claimed_is_granted() {
        let claims: Vec<PermissionClaim> = serde_json::from_str(
            r#"[{"resource": "pods", "selector": {}}, {"group": "x", "resource": "secrets", "selector": {}},
                {"resource": "configmaps", "selector": {}}]"#,
        )
        .unwrap();
        assert_eq!(resources(&claims).into_iter().collect::<Vec<_>>(), [("", "configmaps")]);
    }
}

//! What becomes of a query to several clusters.

use apollo_compiler::{ast::Document, response::JsonMap};
use serde_json::json;

use super::{
    block::Roots,
    rewrite::{Source, keys, rewrite},
    schema::union,
    written::Written,
};
use crate::{
    plan::{Does, Field, prepare},
    schema::{
        Api,
        tests::{api, kind},
    },
};

const BOUNDS: crate::bounds::Bounds = crate::bounds::Bounds { depth: 20, fields: 5000 };

fn small() -> Api {
    api(&[kind("", "Pod", &json!({}))])
}

fn large() -> Api {
    let data = json!({"data": {"type": "string"}});
    api(&[kind("", "Pod", &data), kind("apps", "Deployment", &json!({}))])
}

/// The text for a cluster, and the values that are put into its plan.
fn rewritten(api: &Api, query: &str, variables: &JsonMap) -> Result<(String, Vec<(String, Source)>), String> {
    let document = Document::parse(query, "q").unwrap();
    let read = Written::of(&document, None, variables).and_then(|written| {
        let roots = Roots::of(&written)?;
        let made = rewrite(&written, &roots.blocks[0], api)?;
        let planned = prepare(api, &made.text, None, BOUNDS).map_err(|errors| errors[0].clone())?;
        let mut roots = planned.roots;
        for fixed in &made.fixed {
            super::rewrite::put(&mut roots, &fixed.path, "null");
            assert!(is_null(&roots, &fixed.path), "{:?}", fixed.path);
        }
        let fixed = made.fixed.into_iter().map(|fixed| (fixed.path.join("."), fixed.source)).collect();
        Ok((made.text.split_whitespace().collect::<Vec<_>>().join(" "), fixed))
    });
    read.map_err(|error| error.message)
}

fn is_null(fields: &[Field], path: &[String]) -> bool {
    let field = fields.iter().find(|field| *field.name == *path[0]).unwrap();
    match &field.does {
        Does::Group(fields) => is_null(fields, &path[1..]),
        Does::Constant(json) => path.len() == 1 && &**json == "null",
        _ => false,
    }
}

#[test]
fn a_cluster_is_asked_for_what_it_has() {
    let query = "query($n: String!, $u: String, $on: Boolean = false) {
        clusters(selector: \"a=b\") {
            id: name ...More
            v1 { Pods(namespace: $n) { items { ...Item } } Nodes(labelselector: $u) { items { kind } } }
            apps @include(if: $on) { v1 { Deployments { items { kind } } } }
        }
    }
    fragment More on FleetCluster { apps { v1 { Deployments(labelselector: $u) { items { kind } } } } }
    fragment Item on V1Pod { metadata { name } }";
    let (text, fixed) = rewritten(&small(), query, &JsonMap::new()).unwrap();
    let expected = "query($n: String!) { id: __typename apps: __typename v1 { Pods(namespace: $n) { items { ...Item } } \
        Nodes: __typename } } fragment Item on V1Pod { metadata { name } }";
    assert_eq!(text, expected);
    let missing = |what: &str| Source::Missing(what.to_owned());
    let expected = [("id", Source::Name), ("apps", missing("apps")), ("v1.Nodes", missing("v1.Nodes"))];
    assert_eq!(fixed, expected.map(|(path, source)| (path.to_owned(), source)));
    let (text, fixed) = rewritten(&large(), query, &JsonMap::new()).unwrap();
    assert!(text.contains("apps { v1 { Deployments(labelselector: $u)"), "{text}");
    assert_eq!(fixed.len(), 2);
}

#[test]
fn what_does_not_fit_the_fleet_is_refused() {
    let table = [
        ("{clusters{...A}} fragment A on FleetCluster{...A}", "within itself"),
        ("{clusters{...A}} fragment A on V1Query{Pods{items{kind}}}", "cannot be in"),
        ("{clusters{...A}}", "no fragment A"),
        ("{clusters(a:1){name}}", "no argument `a`"),
        ("{clusters{name} clusters(names:[]){name}}", "twice"),
        ("query A{clusters{name}} query B{clusters{name}}", "operationName"),
        ("subscription{clusters{name}}", "only queries"),
        ("{clusters}", "needs a selection"),
        ("{clusters{name @skip(if:3)}}", "needs a Boolean"),
    ];
    for (query, expected) in table {
        let refusal = rewritten(&small(), query, &JsonMap::new()).unwrap_err();
        assert!(refusal.contains(expected), "{query}: {refusal}");
    }
}

#[test]
fn a_cluster_that_is_not_asked_has_every_field() {
    let (none, query) =
        (JsonMap::new(), "{clusters{b:v1{a} name c:name v1{a} b:v1{c} x @skip(if:true) error}}");
    let document = Document::parse(query, "q").unwrap();
    let written = Written::of(&document, None, &none).unwrap();
    let roots = Roots::of(&written).unwrap();
    let found = keys(&written, &roots.blocks[0]).unwrap();
    let expected = [
        ("b", None),
        ("name", Some(Source::Name)),
        ("c", Some(Source::Name)),
        ("v1", None),
        ("error", Some(Source::Error)),
    ];
    assert_eq!(found, expected.map(|(key, source)| (key.to_owned(), source)));
}

#[test]
fn the_union_is_a_valid_schema_of_what_can_be_asked() {
    let (small, large) = (small(), large());
    let union = union([&small, &large].into_iter());
    if let Err(errors) = union.clone().into_inner().validate() {
        panic!("{errors}");
    }
    for (ty, field) in
        [("Query", "clusters"), ("FleetCluster", "apps"), ("V1Pod", "data"), ("AppsV1Query", "Deployments")]
    {
        assert!(union.type_field(ty, field).is_ok(), "{ty}.{field}");
    }
    assert!(!union.types.contains_key("V1Pod_Input") && !union.types.contains_key("Mutation"));
}

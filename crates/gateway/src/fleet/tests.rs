//! What becomes of a query to several clusters.

use apollo_compiler::{ast::Document, response::JsonMap};
use serde_json::json;

use super::{
    block::QueryRoots,
    fixed::{FixedSource, MissingField, put},
    rewrite::{UnfitCalls, keys, rewrite},
    schema::union,
    written::WrittenQuery,
};
use crate::{
    error::GraphError,
    plan::{FieldSource, PlanField, prepare},
    schema::{
        ClusterApi,
        tests::{api, kind},
    },
};

pub(super) const BOUNDS: crate::bounds::QueryBounds = crate::bounds::QueryBounds { depth: 20, fields: 5000 };

pub(super) fn small() -> ClusterApi {
    api(&[kind("", "Pod", &json!({}))])
}

pub(super) fn large() -> ClusterApi {
    let data = json!({"data": {"type": "string"}});
    api(&[kind("", "Pod", &data), kind("apps", "Deployment", &json!({}))])
}

pub(super) fn read(query: &str, variables: &JsonMap) -> Result<(WrittenQuery, QueryRoots), Vec<GraphError>> {
    let document = Document::parse(query, "q").unwrap();
    let written = WrittenQuery::of(&document, None, variables).map_err(|error| vec![error])?;
    let roots = QueryRoots::of(&written)?;
    Ok((written, roots))
}

/// The text for a cluster, and the values that are put into its plan.
fn rewritten(
    api: &ClusterApi,
    query: &str,
    variables: &JsonMap,
) -> Result<(String, Vec<(String, FixedSource)>), String> {
    let read = || {
        let (written, roots) = read(query, variables)?;
        let made =
            rewrite(&written, &roots.blocks[0], api, &UnfitCalls::new()).map_err(|error| vec![error])?;
        let mut planned = prepare(api, &made.text, None, BOUNDS)?.roots;
        for fixed in &made.fixed {
            put(&mut planned, &fixed.path, "null");
            assert!(is_null(&planned, &fixed.path), "{:?}", fixed.path);
        }
        let fixed = made.fixed.into_iter().map(|fixed| (fixed.path.join("."), fixed.source)).collect();
        Ok((spaced(&made.text), fixed))
    };
    read().map_err(|errors: Vec<GraphError>| errors[0].message.clone())
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn variables(json: &serde_json::Value) -> JsonMap {
    serde_json::from_value(json.clone()).unwrap()
}

fn is_null(fields: &[PlanField], path: &[String]) -> bool {
    let field = fields.iter().find(|field| *field.name == *path[0]).unwrap();
    match &field.does {
        FieldSource::Group(fields) => is_null(fields, &path[1..]),
        FieldSource::Constant(json) => path.len() == 1 && &**json == "null",
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
    let given = variables(&json!({"n": "a"}));
    let (text, fixed) = rewritten(&small(), query, &given).unwrap();
    let expected = "query($n: String!) { id: __typename apps: __typename v1 { Pods(namespace: $n) { items { ...Item } } \
        Nodes: __typename } } fragment Item on V1Pod { metadata { name } }";
    assert_eq!(text, expected);
    let missing = |what: &str| FixedSource::Missing(MissingField { what: what.to_owned(), why: None });
    let expected = [("id", FixedSource::Name), ("apps", missing("apps")), ("v1.Nodes", missing("v1.Nodes"))];
    assert_eq!(fixed, expected.map(|(path, source)| (path.to_owned(), source)));
    let (text, fixed) = rewritten(&large(), query, &given).unwrap();
    assert!(text.contains("apps { v1 { Deployments(labelselector: $u)"), "{text}");
    assert_eq!(fixed.len(), 2);
}

#[test]
fn what_does_not_fit_the_fleet_is_refused() {
    let table = [
        ("{clusters{...A}} fragment A on FleetCluster{...A}", "within itself"),
        ("{clusters{...A}} fragment A on V1Query{Pods{items{kind}}}", "cannot be in"),
        ("{clusters{...A}}", "no fragment A"),
        ("{clusters(a:1){name}}", "argument \"a\""),
        ("{clusters(names:3){name}}", "String"),
        ("{clusters(selector:{a:1}){name}}", "String"),
        ("{clusters(selector:$s){name}}", "$s is not declared"),
        ("query($s:String){clusters(selector:$s){name @include(if:$on)}}", "$on is not declared"),
        ("{clusters{v1{Pods(namespace:$n){items{kind}}}}}", "$n is not declared"),
        ("query($s:String!){clusters(selector:$s){name}}", "$s needs a value"),
        (
            "query($s:String!){a:clusters{name} clusters(selector:$s) @skip(if:true){name}}",
            "$s needs a value",
        ),
        ("query($n:[String!]!){clusters(names:$n){name}}", "$n needs a value"),
        ("query($s:Int){clusters(selector:$s){name}}", "$s"),
        ("query($s:[String!]){clusters(selector:$s){name}}", "$s"),
        ("query($on:String=\"x\"){clusters{name @include(if:$on)}}", "needs a Boolean"),
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
fn a_variable_says_which_clusters_are_meant() {
    let query = "query($s:String,$n:[String!]=[\"c\"]){clusters(selector:$s,names:$n){name}}";
    let labels = [("a", "prod"), ("b", "dev"), ("c", "dev")]
        .map(|(name, env)| (name, [("env".to_owned(), env.to_owned())].into()));
    let chosen = |given: &serde_json::Value| match read(query, &variables(given)) {
        Ok((_, roots)) => roots.blocks[0].chosen(labels.iter().map(|(name, all)| (*name, all))).join(","),
        Err(errors) => errors[0].code.text().to_owned(),
    };
    for (given, expected) in [
        (json!({}), "c"),
        (json!({"n": null}), "a,b,c"),
        (json!({"n": null, "s": "env=dev"}), "b,c"),
        (json!({"n": ["b", "a"], "s": "env=dev"}), "b"),
        (json!({"n": "a"}), "a"),
        (json!({"n": [null]}), "INVALID"),
        (json!({"s": 3}), "INVALID"),
        (json!({"s": "env in prod"}), "INVALID"),
    ] {
        assert_eq!(chosen(&given), expected, "{given}");
    }
    let needed = "query($s:String!){clusters(selector:$s){name}}";
    for given in [json!({}), json!({"selector": "env=prod"}), json!({"s": null})] {
        let errors = read(needed, &variables(&given)).map(drop).unwrap_err();
        assert_eq!(errors[0].code.text(), "INVALID", "{given}");
    }
}

#[test]
fn fields_of_one_name_are_one() {
    let query = "{clusters{v1{Pods @skip(if:true){items{kind}}} name v1{Pods{items{kind}}} name \
        ...on FleetCluster{v1{Pods{items{metadata{name}}} Nodes{items{kind}}}} v1{Nodes{items{kind}}}}}";
    let (text, fixed) = rewritten(&small(), query, &JsonMap::new()).unwrap();
    let expected =
        "{ v1 { Pods { items { kind } items { metadata { name } } } Nodes: __typename } name: __typename }";
    assert_eq!(text, expected);
    assert_eq!(fixed.len(), 2);
    let differing = "{clusters{v1{Pods(namespace:\"a\"){items{kind}} Pods(namespace:\"b\"){items{kind}}}}}";
    assert!(rewritten(&small(), differing, &JsonMap::new()).unwrap_err().contains("Pods"));
}

#[test]
fn a_call_that_does_not_fit_takes_no_other_with_it() {
    let query = "query($n:String!,$u:String){clusters{v1{a:Pods(namespace:$n){items{...I}} b:Pods(namespace:$n,labelselector:$u){items{kind}}}}} \
        fragment I on V1Pod{data}";
    let (written, roots) = read(query, &variables(&json!({"n": "a"}))).unwrap();
    let api = small();
    let made = rewrite(&written, &roots.blocks[0], &api, &UnfitCalls::new()).unwrap();
    assert!(prepare(&api, &made.text, None, BOUNDS).is_err());
    let mut unfit = UnfitCalls::new();
    for call in &made.calls {
        let alone = call.alone(&written);
        let tried = prepare(&api, &alone, None, BOUNDS);
        if let Err(errors) = tried {
            assert!(spaced(&alone).starts_with("query($n: String!) { v1 { a: Pods"), "{alone}");
            unfit.insert(call.path.clone(), errors[0].clone());
        }
    }
    let made = rewrite(&written, &roots.blocks[0], &api, &unfit).unwrap();
    prepare(&api, &made.text, None, BOUNDS).unwrap();
    let FixedSource::Missing(missing) = &made.fixed[0].source else { panic!("{:?}", made.fixed) };
    assert_eq!((made.fixed[0].path.join("."), made.calls.len()), ("v1.a".to_owned(), 1));
    assert!(missing.says().starts_with("v1.Pods does not fit the cluster: "), "{}", missing.says());
}

#[test]
fn a_cluster_that_is_not_asked_has_every_field() {
    let query = "{clusters{b:v1{a} name c:name v1{a} b:v1{c} x @skip(if:true) error}}";
    let (written, roots) = read(query, &JsonMap::new()).unwrap();
    let found = keys(&written, &roots.blocks[0]).unwrap();
    let expected = [
        ("b", None),
        ("name", Some(FixedSource::Name)),
        ("c", Some(FixedSource::Name)),
        ("v1", None),
        ("error", Some(FixedSource::Error)),
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
    for field in ["v1", "apps", "typeByCategory", "resourcesByCategory"] {
        let field = union.type_field("FleetCluster", field).unwrap();
        assert!(!field.ty.is_non_null(), "{} of a cluster that does not answer is null", field.name);
    }
    assert!(!union.types.contains_key("V1Pod_Input") && !union.types.contains_key("Mutation"));
}

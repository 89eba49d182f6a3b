//! Plans of queries against small schemas.

use apollo_compiler::response::JsonMap;
use serde_json::{Value, json};

use super::{FieldSource, OF, PlanCall, PlanField, QueryPlan, RelationBranch, WantedSelection, prepare};
use crate::{
    bounds::QueryBounds,
    error::ErrorCode,
    execute::null_conditions,
    input::ArgumentEvaluator,
    scan::{JsonCursor, JsonWriter, ObjectSelection, SelectedField, ValueShape},
    schema::{
        ClusterApi,
        tests::{api, kind},
    },
};

const BOUNDS: QueryBounds = QueryBounds { depth: 20, fields: 5000 };

fn deployment() -> ClusterApi {
    let spec = json!({
        "spec": {"type": "object", "properties": {
            "replicas": {"type": "integer", "format": "int32"}, "big": {"type": "integer", "format": "int64"},
            "port": {"x-kubernetes-int-or-string": true}, "x-y": {"type": "string"},
            "inner": {"type": "object", "properties": {"port": {"x-kubernetes-int-or-string": true}, "x-y": {"type": "string"}}},
        }},
        "data": {"type": "object", "additionalProperties": {"type": "string"}},
    });
    api(&[kind("apps", "Deployment", &spec), kind("", "Pod", &json!({}))])
}

fn planned(api: &ClusterApi, query: &str) -> QueryPlan {
    prepare(api, query, None, BOUNDS).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn first_call(fields: &[PlanField]) -> &PlanCall {
    match &fields[0].does {
        FieldSource::Call(call) => call,
        FieldSource::Group(fields) => first_call(fields),
        _ => panic!("not a call"),
    }
}

fn variables(values: &Value) -> JsonMap {
    serde_json::from_value(values.clone()).unwrap()
}

/// The JSON of an argument of the first call.
fn argument(api: &ClusterApi, query: &str, name: &str, values: &Value) -> Result<String, String> {
    let plan = prepare(api, query, None, BOUNDS).map_err(|errors| errors[0].message.clone())?;
    let coerced =
        apollo_compiler::request::coerce_variable_values(&api.schema, &plan.operation, &variables(values));
    let coerced = coerced.map_err(|error| error.message().to_string())?;
    let call = first_call(&plan.roots);
    let evaluator = ArgumentEvaluator { api, variables: &coerced };
    let json = evaluator.named(&call.arguments, name).map_err(|error| error.message)?;
    Ok(String::from_utf8(json.unwrap_or_else(|| b"absent".to_vec())).unwrap())
}

#[test]
fn absent_and_null_are_told_apart_in_patches() {
    let api = deployment();
    let query = |variables: &str| {
        format!(
            "mutation{variables}{{apps{{v1{{updateDeployment(name:\"d\",namespace:\"n\",object:{{metadata:{{annotations:{{note:$l}}}},spec:{{replicas:$r}}}}){{kind}}}}}}}}"
        )
    };
    let plain = query("($l:String,$r:Int)");
    let patch = |query: &str, values: Value| argument(&api, query, "object", &values).unwrap();
    assert_eq!(patch(&plain, json!({})), r#"{"metadata":{"annotations":{}},"spec":{}}"#);
    assert_eq!(
        patch(&plain, json!({"l": null, "r": null})),
        r#"{"metadata":{"annotations":{"note":null}},"spec":{"replicas":null}}"#
    );
    let with_default = query("($l:String,$r:Int=2)");
    assert_eq!(patch(&with_default, json!({})), r#"{"metadata":{"annotations":{}},"spec":{"replicas":2}}"#);
    assert_eq!(
        patch(&with_default, json!({"r": null})),
        r#"{"metadata":{"annotations":{}},"spec":{"replicas":null}}"#
    );
}

#[test]
fn a_variable_without_a_value_leaves_its_place_to_the_default() {
    let api = deployment();
    let sorted = "query($s:String){v1{Pods(sortBy:$s){continue}}}";
    let applied = "mutation($f:Boolean){applyYaml(yaml:\"a: 1\",force:$f)}";
    let logs = "subscription($f:Boolean){podLogs(name:\"a\",namespace:\"n\",follow:$f){message}}";
    let table = [
        (sorted, "sortBy", json!({}), "\"metadata.name\""),
        (sorted, "sortBy", json!({"s": null}), "null"),
        (sorted, "sortBy", json!({"s": "kind"}), "\"kind\""),
        ("query($s:String=\"a\"){v1{Pods(sortBy:$s){continue}}}", "sortBy", json!({}), "\"a\""),
        ("{v1{Pods{continue}}}", "sortBy", json!({}), "\"metadata.name\""),
        ("{v1{Pods(sortBy:null){continue}}}", "sortBy", json!({}), "null"),
        (applied, "force", json!({}), "true"),
        (applied, "force", json!({"f": false}), "false"),
        (logs, "follow", json!({}), "true"),
        (logs, "follow", json!({"f": false}), "false"),
        ("query($n:String){v1{Pods(namespace:$n){continue}}}", "namespace", json!({}), "absent"),
    ];
    for (query, name, values, expected) in table {
        assert_eq!(argument(&api, query, name, &values).as_deref(), Ok(expected), "{query} {values}");
    }
}

#[test]
fn inputs_reach_the_keys_that_they_are_of() {
    let api = deployment();
    let of = |object: &str| {
        argument(
            &api,
            &format!("mutation{{apps{{v1{{createDeployment(namespace:\"n\",object:{object}){{kind}}}}}}}}"),
            "object",
            &json!({}),
        )
    };
    let table = [
        (
            r#"{spec:{x_y:"a",port:"80",inner:{x_y:null}}}"#,
            r#"{"spec":{"x-y":"a","port":80,"inner":{"x-y":null}}}"#,
        ),
        ("{spec:{port_json:80}}", r#"{"spec":{"port":80}}"#),
        ("{spec:{big:9007199254740993}}", r#"{"spec":{"big":9007199254740993}}"#),
        (r#"{data:[{key:"a.b/c",value:"x"},{key:"d",value:"y"}]}"#, r#"{"data":{"a.b/c":"x","d":"y"}}"#),
        (r#"{data:{a:"x",b:null}}"#, r#"{"data":{"a":"x","b":null}}"#),
    ];
    for (object, expected) in table {
        assert_eq!(of(object).unwrap(), expected);
    }
    for wrong in [r#"{spec:{port:"{"}}"#, "{data:{a:1}}", "{data:7}", "{spec:{big:1.5}}"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    let query =
        "mutation($o:AppsV1Deployment_Input!){apps{v1{createDeployment(namespace:\"n\",object:$o){kind}}}}";
    let value = json!({"o": {"spec": {"x_y": "a", "port": "\"http\"", "big": 9_007_199_254_740_993_i64}, "data": {"a.b/c": "x"}}});
    assert_eq!(
        argument(&api, query, "object", &value).unwrap(),
        r#"{"data":{"a.b/c":"x"},"spec":{"big":9007199254740993,"port":"http","x-y":"a"}}"#
    );
}

#[test]
fn an_int_is_accepted_where_the_schema_says_long() {
    let api = deployment();
    let query = "mutation($n:Int,$m:Int){apps{v1{createDeployment(namespace:\"n\",object:{spec:{big:$n,replicas:$m}}){kind}}}}";
    assert_eq!(
        argument(&api, query, "object", &json!({"n": 5_000_000_000_i64, "m": 2})).unwrap(),
        r#"{"spec":{"big":5000000000,"replicas":2}}"#
    );
    let wrong =
        "mutation($n:String){apps{v1{createDeployment(namespace:\"n\",object:{spec:{big:$n}}){kind}}}}";
    assert!(argument(&api, wrong, "object", &json!({})).is_err());
}

fn written(call: &PlanCall, object: &str) -> String {
    let WantedSelection::Object(selection) = &call.wanted else { panic!("not an object") };
    let mut writer = JsonWriter::default();
    writer.object(&mut JsonCursor::new(object.as_bytes()), selection).unwrap();
    String::from_utf8(writer.out).unwrap()
}

#[test]
fn answers_are_in_the_order_of_the_query_with_their_own_keys() {
    let api = deployment();
    let plan = planned(
        &api,
        r#"{apps{v1{d:Deployment(name:"a",namespace:"n"){spec{x_y port p:port_json big ...F} kind apiVersion __typename metadata{name}}}}} fragment F on AppsV1DeploymentSpec{replicas port}"#,
    );
    let object =
        r#"{"metadata":{"name":"a"},"spec":{"port":80,"replicas":3,"big":9007199254740993,"x-y":"z"}}"#;
    let expected = r#"{"spec":{"x_y":"z","port":"80","p":80,"big":9007199254740993,"replicas":3},"kind":"Deployment","apiVersion":"apps/v1","__typename":"AppsV1Deployment","metadata":{"name":"a"}}"#;
    assert_eq!(written(first_call(&plan.roots), object), expected);
}

#[test]
fn conditions_hold_for_their_own_occurrence_only() {
    let api = deployment();
    let query = "query($a:Boolean!,$b:Boolean!){v1{p:Pods(limit:1)@include(if:$a){items{metadata{name}}} p:Pods(limit:1)@include(if:$b){items{kind}}}}";
    let plan = planned(&api, query);
    assert!(plan.is_conditional());
    let under = |a: bool, b: bool| {
        let fields = plan.under(&|name| if name == "a" { a } else { b });
        let FieldSource::Group(pods) = &fields[0].does else { panic!("v1 is a group") };
        let Some(field) = pods.first() else { return "none".to_owned() };
        let FieldSource::Call(call) = &field.does else { panic!("a call") };
        let WantedSelection::List(list) = &call.wanted else { panic!("a list") };
        let names: Vec<_> =
            list.items().next().unwrap().fields.iter().map(|field| field.name().to_owned()).collect();
        format!("{} {}", names.join(","), call.wanted.is_metadata_only())
    };
    assert_eq!((under(true, false), under(false, true)), ("metadata true".into(), "kind true".into()));
    assert_eq!((under(true, true), under(false, false)), ("metadata,kind true".into(), "none".into()));
    let skipped = planned(&api, "{v1{Pods{items{kind @skip(if:true) kind}}}}");
    let WantedSelection::List(list) = &first_call(&skipped.roots).wanted else { panic!("a list") };
    assert_eq!(list.items().next().unwrap().fields.len(), 1);
    assert!(planned(&api, "{v1 @skip(if:true){Pods{items{kind}}}}").roots.is_empty());
}

/// What is selected to lead on, beside what every object has.
fn members(selection: &ObjectSelection) -> String {
    let Some(leads) = selection.fields.iter().find(|field| &*field.key == OF) else {
        return String::new();
    };
    let ValueShape::Whole(inner) = &leads.shape else { panic!("{leads:?}") };
    let ValueShape::Object(all) = &**inner else { panic!("{inner:?}") };
    let of = |field: &SelectedField| match &field.shape {
        ValueShape::Object(inner) => {
            inner.fields.iter().map(|inner| format!("{}.{}", field.key, inner.key)).collect()
        }
        _ => vec![field.key.to_string()],
    };
    let all: Vec<String> = all.fields.iter().flat_map(of).collect();
    let is_usual = |name: &&String| {
        !["metadata.name", "metadata.namespace", "metadata.uid", "metadata.ownerReferences"]
            .contains(&name.as_str())
    };
    all.iter().filter(is_usual).cloned().collect::<Vec<_>>().join(" ")
}

/// Only what an object of a kind that is built in needs is written beside it: `spec` of another one may be anything.
#[test]
fn what_leads_on_is_no_more_than_what_is_needed() {
    let text = json!({"type": "object", "properties": {"selector": {"type": "string"}}});
    let mut claim = kind(
        "",
        "PersistentVolumeClaim",
        &json!({"spec": {"type": "object", "properties": {"volumeName": {"type": "string"}}}}),
    );
    claim.1["x-kubernetes-verbs"] = json!(["get", "list"]);
    let template = json!({"spec": {"type": "object", "properties": {"template": {"$ref": format!("#/definitions/{}", claim.0)}}}});
    let api = api(&[
        kind("x.io", "Foo", &json!({"spec": text})),
        kind("", "Pod", &json!({})),
        kind("", "Event", &json!({})),
        kind("", "Service", &json!({"spec": text})),
        kind("", "PersistentVolume", &json!({})),
        kind("apps", "StatefulSet", &template),
        claim,
    ]);
    let table = [
        ("x_io{v1{Foo(name:\"a\",namespace:\"n\"){owner{kind}}}}", ("", Some(""))),
        ("x_io{v1{Foo(name:\"a\",namespace:\"n\"){events{kind}}}}", ("", Some("involvedObject.uid"))),
        (
            "v1{Service(name:\"a\",namespace:\"n\"){selected{kind}}}",
            ("spec.selector", Some("metadata.labels")),
        ),
        (
            "v1{PersistentVolumeClaim(name:\"a\",namespace:\"n\"){volume{kind}}}",
            ("spec.volumeName", Some("")),
        ),
        // A template within another object has no relations of its own.
        (
            "apps{v1{StatefulSet(name:\"a\",namespace:\"n\"){spec{template{owner{kind} volume{kind}}}}}}",
            ("", None),
        ),
    ];
    for (query, expected) in table {
        let plan = planned(&api, &format!("{{{query}}}"));
        let call = first_call(&plan.roots);
        let WantedSelection::Object(selection) = &call.wanted else { panic!("an object") };
        let related = call.relations.as_ref().map(|tree| {
            let RelationBranch::Related(related) = &tree.fields[0].1 else { panic!("a relation") };
            members(&related.selection)
        });
        assert_eq!((members(selection).as_str(), related.as_deref()), expected, "{query}");
    }
}

#[test]
fn a_condition_is_true_or_false_wherever_it_is() {
    let api = deployment();
    let table = [
        "{apps{v1{Deployments @include(if:$n){items{kind}}}}}",
        "{apps{v1{Deployments{continue @skip(if:$n)}}}}",
        "{apps{v1{Deployments{items{kind @include(if:$n)}}}}}",
        "{apps{v1{Deployment(name:\"a\",namespace:\"n\"){spec{inner{port @include(if:$n)}}}}}}",
        "{apps{v1{Deployment(name:\"a\",namespace:\"n\"){owner @include(if:$n){kind}}}}}",
        "{apps{v1{Deployment(name:\"a\",namespace:\"n\"){owner{owned(kind:\"Pod\"){kind @skip(if:$n)}}}}}}",
        "{apps{v1{Deployment(name:\"a\",namespace:\"n\"){...F}}}} fragment F on AppsV1Deployment{... @skip(if:$n){kind}}",
    ];
    for query in table {
        let plan = planned(&api, &format!("query($n:Boolean=true){query}"));
        let told = |value: Value| null_conditions(&plan, &variables(&json!({"n": value})));
        assert_eq!(told(Value::Null).map(|error| error.code), Some(ErrorCode::Invalid), "{query}");
        assert_eq!(told(json!(true)), None, "{query}");
    }
    let plain = planned(&api, "{apps{v1{Deployments{items{kind @skip(if:true)}}}}}");
    assert_eq!(null_conditions(&plain, &variables(&json!({"n": null}))), None);
}

#[test]
fn what_is_wrong_is_told_with_a_code() {
    let api = deployment();
    let refused = |query: &str| {
        let errors = prepare(&api, query, None, BOUNDS).unwrap_err();
        (errors[0].code, errors[0].message.clone(), errors.len())
    };
    assert_eq!(refused("{").0, ErrorCode::ParseFailed);
    assert!(refused("{").1.starts_with("failed to parse query: "));
    let unknown = refused("{nonExistentField}");
    assert_eq!(
        (unknown.0, unknown.1.as_str()),
        (ErrorCode::ValidationFailed, "Cannot query field \"nonExistentField\" on type \"Query\".")
    );
    assert_eq!(refused(&"{a".repeat(1_500_000)).0, ErrorCode::ParseFailed);
    assert!(refused("query a{__typename} query b{__typename}").1.contains("operation"));
    let many: String = (0..4000).fold(String::new(), |text, n| format!("{text} x{n}"));
    assert_eq!(refused(&format!("{{{many}}}")).2, 100);
}

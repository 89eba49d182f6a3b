//! What real clusters serve and what real Secrets hold: a stock cluster by its structure, thousands of CRDs, certificates
//! and tokens as people paste them.

use std::{fs, path::Path, time::Duration};

use portolan_testkit::{
    eventually,
    hostile::{HostileServer, Hostility, MANY},
};
use serde_json::Value;

use crate::scene::Stage;

/// Where the structure of a stock cluster is written down; `PORTOLAN_WRITE_GOLDEN=1` writes it anew.
const GOLDEN: &str = "listener/stock.txt";

/// One line for each kind: group and version, kind, plural, scope, and what can be done with it.
fn structure(document: &Value) -> String {
    let words = |value: &Value| {
        let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
        words.collect::<Vec<_>>().join(",")
    };
    let mut lines: Vec<_> = document["definitions"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, schema)| schema.get("x-kubernetes-plural").is_some())
        .map(|(name, schema)| {
            let of = |extension: &str| &schema[format!("x-kubernetes-{extension}")];
            let lists = ["verbs", "subresources", "short-names", "categories"];
            let lists: Vec<_> = lists.iter().map(|list| format!("{list}={}", words(of(list)))).collect();
            let (plural, scope) = (of("plural").as_str().unwrap(), of("scope").as_str().unwrap());
            let fields = schema["properties"].as_object().map_or(0, serde_json::Map::len);
            format!("{name} {plural} {scope} fields={fields} {}\n", lists.join(" "))
        })
        .collect();
    lines.sort();
    lines.concat()
}

#[tokio::test]
async fn a_stock_cluster_has_the_structure_that_is_written_down() {
    let stage = Stage::start("golden").await;
    stage.usual_secrets("golden").await;
    stage.create("golden", stage.usual("golden")).await.unwrap();
    stage.ready("golden").await;
    let found = structure(&stage.document("golden").unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    if std::env::var_os("PORTOLAN_WRITE_GOLDEN").is_some() {
        fs::write(&file, &found).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap();
    let differs = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|l| l == *line)).map(str::to_owned).collect()
    };
    assert_eq!(differs(&found, &golden), Vec::<String>::new(), "not written down");
    assert_eq!(differs(&golden, &found), Vec::<String>::new(), "written down, and not there");
}

#[tokio::test]
async fn thousands_of_crds_are_served_and_delay_nobody() {
    let stage = Stage::start("wide").await;
    let server = HostileServer::start(Hostility::Wide).await.unwrap();
    stage.secret("wide-token", &[("token", "t")]).await;
    stage.secret("wide-ca", &[("ca.crt", &server.ca_pem)]).await;
    let mut spec = stage.usual("wide");
    spec["host"] = server.url().into();
    stage.create("wide", spec).await.unwrap();
    stage.usual_secrets("beside").await;
    stage.create("beside", stage.usual("beside")).await.unwrap();
    stage.ready("beside").await;
    let access = stage.ready("wide").await;
    assert_eq!(usize::try_from(access.status.unwrap().kinds.unwrap()).unwrap(), MANY + 2);
    let document = stage.document("wide").unwrap();
    let last = format!("wide{}.example.Widget", MANY - 1);
    assert!(document["definitions"][&last]["properties"].get("field99").is_some());
    // A document of 25 MB, its parts, and a stock cluster.
    let look = async || (stage.listener.rss_mb().ok()? < 160.0).then_some(());
    let small = eventually("memory is small", Duration::from_secs(20), look).await;
    small.unwrap_or_else(|error| panic!("{error:#}: {} MB", stage.listener.rss_mb().unwrap()));
    let peak = stage.listener.peak_rss_mb().unwrap();
    assert!(peak < 400.0, "{peak} MB");
}

#[tokio::test]
async fn secrets_are_read_as_people_paste_them() {
    let stage = Stage::shared().await;
    let broken = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    let good = stage.target.ca_pem();
    let table = [
        ("pasted-newline", format!("{}\n", stage.token), good.clone()),
        ("pasted-blanks", format!("  {}\r\n", stage.token), good.clone()),
        ("pasted-bundle", stage.token.clone(), format!("{broken}{good}")),
        ("pasted-others", stage.token.clone(), format!("{}\n# ours\r\n{good}", stage.management.ca_pem())),
    ];
    for (name, token, ca) in table {
        stage.secret(&format!("{name}-token"), &[("token", &token)]).await;
        stage.secret(&format!("{name}-ca"), &[("ca.crt", &ca)]).await;
        stage.create(name, stage.usual(name)).await.unwrap();
        stage.ready(name).await;
        stage.delete(name).await;
    }
}

#[tokio::test]
async fn a_host_may_be_a_name_with_several_addresses() {
    let stage = Stage::shared().await;
    stage.usual_secrets("named").await;
    let mut spec = stage.usual("named");
    spec["host"] = stage.target.server_url().replace("127.0.0.1", "localhost").into();
    stage.create("named", spec).await.unwrap();
    stage.ready("named").await;
    stage.delete("named").await;
}

//! The control plane itself: it starts in time, is real, is audited, and leaves nothing behind.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "clippy takes the helpers of a test for other code"
)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::api::{ApiResource, DeleteParams, DynamicObject, PostParams};
use kube::{Api, ResourceExt};
use portolan_testkit::audit::{Mark, summary};
use portolan_testkit::{
    ControlPlane, ControlPlaneOptions, PlainLines, Rbac, ServiceAccountSetup, binaries, eventually,
    kubeconfig, load, table, watch_until, watch_until_gone, workload,
};
use serde_json::json;
use tokio::sync::OnceCell;

const SOON: Duration = Duration::from_secs(20);
/// Set for the test below that plays a runner, which is killed.
const PLAY_RUNNER: &str = "PORTOLAN_TESTKIT_PLAY_RUNNER";

/// Tests that do not break it share one.
async fn shared() -> &'static ControlPlane {
    static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
    SHARED.get_or_init(|| async { start("shared").await }).await
}

async fn start(name: &str) -> ControlPlane {
    let binaries = binaries::locate(&PlainLines::new()).await.unwrap();
    let begin = Instant::now();
    let options = ControlPlaneOptions { binaries: Some(binaries), ..ControlPlaneOptions::named(name) };
    let control_plane = ControlPlane::start(options).await.unwrap();
    println!("{name}: started in {:.2?}, {:.0} MiB", begin.elapsed(), control_plane.rss_mb().unwrap());
    control_plane
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"key": "value"}})).unwrap()
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended; where nobody reaps orphans it stays in the table.
    !stat.is_empty() && !stat.contains(") Z ")
}

#[tokio::test]
async fn it_is_ready_with_the_default_service_account() {
    let control_plane = shared().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(control_plane.client(), "default");
    assert_eq!(accounts.get("default").await.unwrap().name_any(), "default");
    assert!(control_plane.client().apiserver_version().await.unwrap().git_version.starts_with("v1."));
}

#[tokio::test]
async fn the_audit_log_counts_one_write_of_its_user() {
    let control_plane = shared().await;
    let user = "counted";
    let kubeconfig = control_plane.kubeconfig_for_certificate(user, Some("system:masters")).unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(kubeconfig::client(&kubeconfig).await.unwrap(), "default");
    let mark = control_plane.audit().mark().unwrap();
    maps.create(&PostParams::default(), &config_map("counted")).await.unwrap();
    maps.get("counted").await.unwrap();
    let audit = control_plane.audit();
    let gets = || {
        audit.entries_since(mark).unwrap().into_iter().filter(|e| e.user.username == user && e.verb == "get")
    };
    eventually("the get is logged", SOON, async || gets().next()).await.unwrap();
    let writes = audit.writes(user).unwrap();
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert_eq!(writes[0].code(), 201);
    let key = ("create".to_owned(), "configmaps".to_owned(), String::new());
    assert_eq!(summary(&writes)[&key], 1);
}

#[tokio::test]
async fn a_service_account_may_do_what_its_rules_say_and_nothing_else() {
    let control_plane = shared().await;
    let rules = "
        clusterRules: [{apiGroups: [''], resources: [namespaces], verbs: [list]}]
        aggregateLabel: rbac.example.com/aggregate-to-probe
        namespaceRules: {secretNamespaces: [{apiGroups: [''], resources: [configmaps], verbs: [create, get]}]}";
    let setup = ServiceAccountSetup::new("probe", "probe-system");
    let kubeconfig = setup.create_with(control_plane, &Rbac::parse(rules).unwrap()).await.unwrap();
    let client = kubeconfig::client(&kubeconfig).await.unwrap();
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let me = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    assert_eq!(me.status.unwrap().user_info.unwrap().username.unwrap(), setup.user());

    let own: Api<ConfigMap> = Api::namespaced(client.clone(), "probe-system");
    own.create(&PostParams::default(), &config_map("mine")).await.unwrap();
    let elsewhere: Api<ConfigMap> = Api::namespaced(client, "default");
    let refused = elsewhere.create(&PostParams::default(), &config_map("not-mine")).await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 403));
}

#[tokio::test]
async fn a_crd_is_served_and_takes_load() {
    let control_plane = shared().await;
    let client = control_plane.client();
    workload::install(&client, &workload::wildwest()).await.unwrap();
    let resource: ApiResource = workload::cowboys();
    let cowboys: Api<DynamicObject> = Api::namespaced_with(client.clone(), "default", &resource);
    let make = |index: usize| workload::cowboy_sized("default", &format!("cowboy-{index}"));
    let latencies = load::objects(&client, &resource, Some("default"), make, 100, 8).await.unwrap();
    assert_eq!(latencies.count(), 100);
    println!("{}", table(&[("create a cowboy".to_owned(), latencies)]));
    let last =
        watch_until(cowboys.clone(), "cowboy-99", |cowboy| cowboy.uid().is_some(), SOON).await.unwrap();
    cowboys.delete(&last.name_any(), &DeleteParams::default()).await.unwrap();
    watch_until_gone(cowboys, "cowboy-99", SOON).await.unwrap();
}

#[tokio::test]
async fn its_parts_can_fail_and_come_back_with_the_same_data() {
    let control_plane = start("outage").await;
    let maps: Api<ConfigMap> = Api::namespaced(control_plane.client(), "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();

    control_plane.stop_apiserver();
    assert!(maps.get("kept").await.is_err());
    control_plane.start_apiserver().await.unwrap();
    maps.get("kept").await.unwrap();

    control_plane.stop_etcd();
    let (params, lost) = (PostParams::default(), config_map("lost"));
    let write = tokio::time::timeout(Duration::from_secs(1), maps.create(&params, &lost)).await;
    assert!(!matches!(write, Ok(Ok(_))));
    control_plane.start_etcd().await.unwrap();
    maps.get("kept").await.unwrap();

    control_plane.pause_apiserver();
    assert!(tokio::time::timeout(Duration::from_millis(300), maps.get("kept")).await.is_err());
    control_plane.resume_apiserver();
    maps.get("kept").await.unwrap();
}

#[tokio::test]
async fn it_outlives_the_thread_that_started_it_and_goes_with_its_owner() {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = sender.send(runtime.block_on(start("dropped")));
    });
    let control_plane = receiver.await.unwrap();
    thread.join().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (pids, dir) = (control_plane.pids(), control_plane.dir().to_owned());
    assert_eq!(pids.len(), 3);
    assert!(pids.iter().all(|&pid| alive(pid)) && dir.is_dir());
    drop(control_plane);
    assert!(!pids.into_iter().any(alive) && !dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_is_killed_leaves_no_process_and_no_directory() {
    let mut runner = Command::new(std::env::current_exe().unwrap());
    runner.args(["--exact", "plays_the_runner", "--nocapture"]).env(PLAY_RUNNER, "1").stdout(Stdio::piped());
    let mut runner = runner.spawn().unwrap();
    let (pids, dir) = tokio::task::block_in_place(|| read_report(runner.stdout.take().unwrap()));
    let before = pids.iter().all(|&pid| alive(pid)) && dir.is_dir();
    runner.kill().unwrap();
    runner.wait().unwrap();
    assert!(before && pids.len() == 3);
    let gone = async || (!pids.iter().any(|&pid| alive(pid)) && !dir.exists()).then_some(());
    eventually("all is gone", SOON, gone).await.unwrap();
}

fn read_report(stdout: std::process::ChildStdout) -> (Vec<u32>, PathBuf) {
    let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
    let report = lines.find_map(|line| Some(line.split_once("RUNS ")?.1.to_owned())).unwrap();
    let (pids, dir) = report.split_once(" IN ").unwrap();
    (pids.split(',').map(|pid| pid.parse().unwrap()).collect(), Path::new(dir).to_owned())
}

/// Not a test by itself: the process that the test above starts and kills.
#[tokio::test]
async fn plays_the_runner() {
    if std::env::var_os(PLAY_RUNNER).is_none() {
        return;
    }
    let control_plane = start("runner").await;
    let pids: Vec<String> = control_plane.pids().iter().map(u32::to_string).collect();
    println!("RUNS {} IN {}", pids.join(","), control_plane.dir().display());
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test]
async fn a_token_for_an_audience_is_issued_by_the_server() {
    let control_plane = shared().await;
    let token = control_plane.token_for("default", "default", &["someone"], 600).await.unwrap();
    assert_eq!(token.split('.').count(), 3);
    let anonymous = kubeconfig::client(&control_plane.kubeconfig_for_token(&token, "default")).await.unwrap();
    // It is not for the API server itself.
    assert!(Api::<ConfigMap>::namespaced(anonymous, "default").get("x").await.is_err());
    let entries = control_plane.audit().entries_since(Mark::default()).unwrap();
    assert!(!entries.is_empty() && entries.iter().all(|entry| !entry.line().contains(&token)));
}

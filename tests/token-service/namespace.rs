//! Issuers at hostile addresses, inside a network namespace of the test's own: a listener counts who connects.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use portolan_testkit::{
    eventually::eventually,
    isolated,
    ports::free_port,
    service::{ServiceOptions, ServiceProcess},
    workdir::Workdir,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use crate::support::SOON;

const ADDRESSES: [&str; 4] = ["169.254.169.254", "10.1.2.3", "fd00:ec2::254", "8.8.8.8"];
const HOSTS: &str = "127.0.0.1 rebind.test\n10.1.2.3 inside.test\n";
/// The host of an issuer, its address, and whether an issuer that an operator listed may have it unnamed.
const PLACES: [(&str, &str, bool); 7] = [
    ("127.0.0.1", "127.0.0.1", false),
    ("rebind.test", "127.0.0.1", false),
    ("169.254.169.254", "169.254.169.254", false),
    ("[fd00:ec2::254]", "fd00:ec2::254", false),
    ("10.1.2.3", "10.1.2.3", true),
    ("inside.test", "10.1.2.3", true),
    ("8.8.8.8", "8.8.8.8", true),
];

#[tokio::test]
async fn issuers_at_hostile_addresses_are_asked_only_when_they_are_named() {
    if isolated::inside() {
        return Box::pin(checked_inside()).await;
    }
    let test = "namespace::issuers_at_hostile_addresses_are_asked_only_when_they_are_named";
    match isolated::again(test, &ADDRESSES, HOSTS).unwrap() {
        Some(seen) => assert!(seen.contains("7 places checked"), "{seen}"),
        None => println!("skipped: {test}: no namespaces: sysctl kernel.unprivileged_userns_clone=1"),
    }
}

/// Counts connections. Answers each with a redirect, if one is given.
struct Trap {
    port: u16,
    count: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Trap {
    async fn at(address: &str, redirect: Option<String>) -> Self {
        let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).await.unwrap();
        let (port, count) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let (counted, mut serving) = (Arc::clone(&count), JoinSet::new());
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                if let Some(place) = &redirect {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let answer =
                        format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
                    let _ = stream.write_all(answer.as_bytes()).await;
                }
            }
        });
        Self { port, count, _serving: serving }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

#[expect(clippy::print_stdout, reason = "a test says so when it is skipped, and what it has checked")]
async fn checked_inside() {
    let home = Workdir::new("hostile").unwrap();
    let mut traps = Vec::new();
    for (_, address, _) in PLACES {
        traps.push(Trap::at(address, None).await);
    }
    let secret = Trap::at("127.0.0.1", None).await;
    let lure = Trap::at("10.1.2.3", Some(format!("http://127.0.0.1:{}/", secret.port))).await;
    let cluster = |index: usize, issuer: &str, allow: &str| {
        format!("  c{index}: {{issuer: '{issuer}', plain_http: true{allow}}}\n")
    };
    let config = |named: bool| {
        let mut text =
            format!("clusters:\n  lure: {{issuer: 'http://10.1.2.3:{}', plain_http: true}}\n", lure.port);
        for (index, ((host, address, _), trap)) in PLACES.iter().zip(&traps).enumerate() {
            let allow = if named { format!(", allow_addresses: ['{address}']") } else { String::new() };
            let issuer = format!("http://{host}:{}", trap.port);
            text.push_str(&cluster(index, &issuer, &allow));
        }
        text
    };
    let closed = start(&home, "closed", &config(false)).await;
    let tried = async || {
        let metrics = closed.metrics().await.unwrap();
        let has_failed = |index: usize| {
            let series = format!("issuer_refreshes{{cluster=\"c{index}\",result=\"failed\"}} ");
            metrics.lines().any(|line| line.split_once(&series).is_some_and(|(_, count)| count != "0"))
        };
        (0..PLACES.len()).all(has_failed).then_some(())
    };
    eventually("every issuer is tried", SOON, tried).await.unwrap();
    eventually("the lure is asked", SOON, async || (lure.count() > 0).then_some(())).await.unwrap();
    for ((host, _, allowed), trap) in PLACES.iter().zip(&traps) {
        assert_eq!(trap.count() > 0, *allowed, "{host}");
    }
    drop(closed);
    let _opened = start(&home, "opened", &config(true)).await;
    for ((host, ..), trap) in PLACES.iter().zip(&traps) {
        eventually(host, SOON, async || (trap.count() > 0).then_some(())).await.unwrap();
    }
    assert_eq!(secret.count(), 0, "a redirect is not followed");
    println!("{} places checked", PLACES.len());
}

async fn start(home: &Workdir, name: &str, config: &str) -> ServiceProcess {
    let config = home.write_private(&format!("{name}.yaml"), config).unwrap();
    let options = ServiceOptions::new("token-service", "").args([
        "--plain-http",
        "--address",
        &format!("127.0.0.1:{}", free_port().unwrap()),
        "--config",
        &config.display().to_string(),
    ]);
    ServiceProcess::start(options).await.unwrap()
}

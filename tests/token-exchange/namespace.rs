//! Issuers at addresses that only an attacker would name, inside a network namespace of the test's own: a
//! listener counts who connects.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use portolan_testkit::{eventually, forge::SigningKey, isolated};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

use crate::{
    issuer::now,
    support::{AUDIENCE, SOON, TARGET, binding, world},
};

const ADDRESSES: [&str; 3] = ["169.254.169.254", "10.1.2.3", "fd00:ec2::254"];
/// A name that anybody may have made, for an address that only we have.
const HOSTS: &str = "127.0.0.1 rebind.test\n";
/// Addresses of an issuer in an annotation, each with its name in a setting.
const PLACES: [(&str, &str, &str); 5] = [
    ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
    ("169.254.169.254", "169.254.169.254", "169.254.169.254"),
    ("[fd00:ec2::254]", "fd00:ec2::254", "fd00:ec2::254"),
    ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
    ("rebind.test", "127.0.0.1", "127.0.0.1"),
];

#[tokio::test]
async fn an_annotation_cannot_make_the_exchange_ask_hostile_addresses() {
    if isolated::inside() {
        return Box::pin(checked_inside()).await;
    }
    let test = "namespace::an_annotation_cannot_make_the_exchange_ask_hostile_addresses";
    match isolated::again(test, &ADDRESSES, HOSTS).unwrap() {
        Some(seen) => assert!(seen.contains("5 places checked"), "{seen}"),
        None => println!("skipped: {test}: no namespaces: sysctl kernel.unprivileged_userns_clone=1"),
    }
}

#[expect(clippy::print_stdout, reason = "a test says so when it is skipped, and what it has checked")]
async fn checked_inside() {
    let (world, key) = (world().await, SigningKey::new("k", "P-256"));
    let subject = "104100000000000000001";
    let open = format!("anyIssuer: true\nnamespaces: [{TARGET}]\nrateLimits: {{perCaller: 0}}\n");
    let exchange = world.exchange("hostile", &open).await;
    for (host, bind, named) in PLACES {
        let (port, count, _serving) = counted(bind).await;
        let issuer = format!("https://{host}:{port}");
        world.target("hostile", &[("kfca_1", &binding(&issuer, subject, json!({})))]).await;
        let claims =
            json!({"iss": issuer, "sub": subject, "aud": AUDIENCE, "iat": now(), "exp": now() + 600});
        let token = key.token("ES256", &claims);
        let asked = async || {
            let answer = exchange.ask(&token, "hostile").await;
            assert_eq!(answer.rung(), (404, "error", "no matching binding found"), "{host}");
            let log = exchange.log();
            log.lines()
                .any(|line| line.contains("failed to load keys") && line.contains(&issuer))
                .then_some(())
        };
        eventually("the issuer is tried", SOON, asked).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 0, "{host}: nobody connects");
        // An operator who names the address opens it.
        let listed = format!(
            "issuers:\n- {{issuer: '{issuer}', allow_addresses: ['{named}']}}\nnamespaces: [{TARGET}]\n"
        );
        let opened = world.unready("opened", &listed).await;
        let connects = async || (count.load(Ordering::SeqCst) > 0).then_some(());
        eventually("a connection", SOON, connects).await.unwrap();
        drop(opened);
    }
    println!("{} places checked", PLACES.len());
}

async fn counted(address: &str) -> (u16, Arc<AtomicUsize>, JoinSet<()>) {
    let address: std::net::IpAddr = address.parse().unwrap();
    let listener = TcpListener::bind((address, 0)).await.unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
    let (counted, mut serving) = (Arc::clone(&count), JoinSet::new());
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, count, serving)
}

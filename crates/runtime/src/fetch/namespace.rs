//! Addresses that must never be asked from a test machine, inside a network namespace that the test makes:
//! there they are this machine's own, and no packet has a way out.

use std::{
    net::{IpAddr, SocketAddr},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

use tokio::{net::TcpListener, task::JoinSet};

use super::*;

const INSIDE: &str = "PORTOLAN_INSIDE_NAMESPACE";
const ADDRESSES: [(&str, bool); 8] = [
    // Address, and whether an issuer that an operator listed may have it.
    ("127.0.0.1", false),
    ("169.254.169.254", false),
    ("169.254.7.7", false),
    ("fd00:ec2::254", false),
    ("100.100.100.200", false),
    ("10.1.2.3", true),
    ("fd12::1", true),
    ("8.8.8.8", true),
];

#[test]
fn hostile_addresses_are_connected_to_only_when_the_policy_says_so() {
    let script = "set -e; ip link set lo up; for a in $ADDRESSES; do \
                  case $a in 127.*) continue;; *:*) m=128;; *) m=32;; esac; ip addr add $a/$m dev lo; done; \
                  test -z \"$(ip route show default)\"; exec \"$0\" --exact fetch::namespace::inside --nocapture";
    let addresses = ADDRESSES.map(|(address, _)| address).join(" ");
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", script]);
    command.arg(std::env::current_exe().unwrap()).env(INSIDE, "1").env("ADDRESSES", addresses);
    let Ok(output) = command.output() else {
        return println!("skipped: {}: no unshare: install util-linux and iproute2", module_path!());
    };
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("Operation not permitted") || text.contains("unshare failed") {
        return println!(
            "skipped: {}: no namespaces: sysctl kernel.unprivileged_userns_clone=1",
            module_path!()
        );
    }
    assert!(output.status.success() && text.contains("8 addresses checked"), "{text}");
}

/// Runs inside the namespace only.
#[tokio::test]
async fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    for (address, listed) in ADDRESSES {
        let address: IpAddr = address.parse().unwrap();
        let listener = TcpListener::bind(SocketAddr::new(address, 0)).await.unwrap();
        let socket = listener.local_addr().unwrap();
        let count = Arc::<AtomicUsize>::default();
        let (counted, mut serving) = (Arc::clone(&count), JoinSet::new());
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        let ask = async |policy: AddressPolicy| {
            let before = count.load(Ordering::SeqCst);
            let settings = FetchSettings { policy, plain_http: true, ..FetchSettings::default() };
            let url = format!("http://{socket}/").parse().unwrap();
            let error = Fetcher::new(&settings).unwrap().get(&url, None).await.unwrap_err();
            tokio::time::sleep(Duration::from_millis(20)).await;
            (count.load(Ordering::SeqCst) > before, error.is_forbidden())
        };
        let public = super::address::kind(address) == super::address::AddressKind::Public;
        assert_eq!(ask(AddressPolicy::default()).await, (public, !public), "{address}: chosen by a user");
        let operator = AddressPolicy { private: true, ..AddressPolicy::default() };
        assert_eq!(ask(operator.clone()).await, (listed, !listed), "{address}: listed by an operator");
        let named = AddressPolicy { named: vec![NamedAddress::Address(address)], ..operator.clone() };
        assert_eq!(ask(named).await, (true, false), "{address}: named");
        let own = AddressPolicy { own_api_server: vec![socket], ..operator };
        assert_eq!(ask(own).await, (false, true), "{address}: our own API server");
    }
    println!("{} addresses checked", ADDRESSES.len());
}

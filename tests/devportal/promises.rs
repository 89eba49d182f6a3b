//! Promises in milliseconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench devportal`.

use std::time::{Duration, Instant};

use portolan_core::api::devportal::APIProduct;
use portolan_testkit::toystore::{target, write};
use serde_json::json;

use crate::scene::{Stage, decide};

/// What is promised from a change of a PlanPolicy to its products.
const PLANS: Duration = Duration::from_millis(500);
/// What is promised of 99 of 100 approvals, until their Secrets are there.
const APPROVAL: Duration = Duration::from_millis(100);
/// Factor by which something may take longer here than promised.
const FACTOR: u32 = 5;
const ROUNDS: usize = 5;

fn kept(what: &str, promised: Duration, mut times: Vec<Duration>) {
    times.sort_unstable();
    let median = times[times.len() / 2];
    assert!(median < promised * FACTOR, "{what} took {median:?}, promised are {promised:?}: {times:?}");
}

#[tokio::test]
async fn a_changed_plan_and_an_approval_arrive_in_time() {
    let stage = Stage::shared().await;
    let place = stage.toystore("in-time").await;
    place.product("p", None).await;
    place.ready("p").await;
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let tier = format!("tier-{round}");
        let spec = json!({"targetRef": target("HTTPRoute", "toystore"), "plans": [{"tier": "gold"}, {"tier": tier}]});
        let has_it = |product: &APIProduct| {
            let plans =
                product.status.as_ref().map(|status| json!(status.discovered_plans)).unwrap_or_default();
            plans[1]["tier"] == tier.as_str()
        };
        let begun = Instant::now();
        write(&stage.client(), "PlanPolicy", ("in-time", "toystore-plans"), &spec, &json!({})).await.unwrap();
        place.product_when("p", has_it).await;
        times.push(begun.elapsed());
    }
    kept("a changed plan", PLANS, times);

    let (mut times, owner) = (Vec::new(), stage.person("owner").await);
    for round in 0..ROUNDS {
        let name = format!("k{round}");
        place.ask(&name, "p", "user:default/alice").await;
        let seen = place.key_says(&name, "NotApproved").await;
        let begun = Instant::now();
        decide(owner.clone(), "in-time", &seen, "owner", "Approved", None).await.unwrap();
        place.value(&name).await;
        times.push(begun.elapsed());
    }
    kept("an approval", APPROVAL, times);
}

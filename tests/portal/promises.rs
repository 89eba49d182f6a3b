//! Promises in milliseconds, at five times the figure: a machine that is busy keeps them, and code that became ten times
//! slower does not. The figures themselves are measured by `cargo xtask bench portal`.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::scene::Stage;

/// What is promised of 99 of 100 lists, with 1,000 products.
const LIST: Duration = Duration::from_millis(30);
/// Factor by which something may take longer here than promised.
const FACTOR: u32 = 5;
const PRODUCTS: usize = 40;
const PAGE: usize = 24;
/// Products with this in their names.
const TENS: (&str, usize) = ("p-1", 10);
const WARM_UP: usize = 10;
const ROUNDS: usize = 50;
const PATH: &str = "/api/kuadrant/apiproducts";

#[tokio::test]
async fn lists_are_there_in_time() {
    let stage = Stage::shared().await;
    let place = stage.toystore("in-time").await;
    let (owner, alice) = (stage.portal.by(&stage.login, "owner1"), stage.portal.by(&stage.login, "alice"));
    for number in 0..PRODUCTS {
        let made = owner.post(PATH, &place.product(&format!("p-{number:02}"), &json!({}))).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }
    let catalog = format!("{PATH}?catalog=true&namespace=in-time&pageSize={PAGE}");
    let search = format!("{catalog}&search={}&sort=-created", TENS.0);
    for (path, expected) in [(catalog, PAGE), (search, TENS.1)] {
        let mut times = Vec::new();
        for _ in 0..WARM_UP + ROUNDS {
            let begun = Instant::now();
            let answer = alice.get(&path).await;
            times.push(begun.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.text);
            let found = answer.json()["items"].as_array().map(Vec::len);
            assert_eq!(found, Some(expected), "{path}: {}", answer.text);
        }
        times.drain(..WARM_UP);
        times.sort_unstable();
        let took = times[ROUNDS / 2];
        assert!(took < LIST * FACTOR, "{path} took {took:?}, promised are {LIST:?}: {times:?}");
        // There are fewer products than in the promise: the list that nothing else holds up keeps the figure itself.
        assert!(times[0] < LIST, "{path} took no less than {:?}", times[0]);
    }
}

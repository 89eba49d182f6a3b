//! Calls per plan and user within a day, as Prometheus knows them.

use std::collections::BTreeMap;

use form_urlencoded::byte_serialize;
use http::Uri;
use portolan_runtime::{fetch::Fetcher, telemetry::ErrorChain};
use serde_json::{Value, json};

/// How the counters get the labels that are asked for.
const CURE: &str = "no calls with the labels user and plan were counted within a day: add both labels to the metrics \
                    of the gateway with a TelemetryPolicy";

/// Users in one answer.
const MAX_USERS: usize = 1_000;

/// A Prometheus.
pub struct PrometheusClient {
    url: String,
    fetcher: Fetcher,
}

/// Calls and limited calls by plan and user.
pub type CallCounts = BTreeMap<(String, String), (f64, f64)>;

impl PrometheusClient {
    pub const fn new(url: String, fetcher: Fetcher) -> Self {
        Self { url, fetcher }
    }

    /// The calls of a route within the last day.
    pub async fn of(&self, namespace: &str, route: &str) -> Result<CallCounts, String> {
        let (calls, limited) = tokio::try_join!(
            self.asked("authorized_calls", namespace, route),
            self.asked("limited_calls", namespace, route)
        )?;
        let mut counted = CallCounts::new();
        for (place, number) in calls {
            counted.entry(place).or_default().0 += number;
        }
        for (place, number) in limited {
            counted.entry(place).or_default().1 += number;
        }
        if counted.is_empty() { Err(CURE.to_owned()) } else { Ok(counted) }
    }

    async fn asked(
        &self,
        metric: &str,
        namespace: &str,
        route: &str,
    ) -> Result<Vec<((String, String), f64)>, String> {
        let query = query(metric, namespace, route);
        let encoded: String = byte_serialize(query.as_bytes()).collect();
        let url: Uri =
            format!("{}/api/v1/query?query={encoded}", self.url).parse().map_err(|_| "no URL".to_owned())?;
        let answer = self.fetcher.get(&url, None).await;
        let answer = answer.map_err(|error| format!("Prometheus does not answer: {}", ErrorChain(&error)))?;
        if !answer.status.is_success() {
            return Err(format!("Prometheus answered {}", answer.status.as_u16()));
        }
        let body: Value =
            serde_json::from_slice(&answer.body).map_err(|_| "Prometheus answered no JSON".to_owned())?;
        Ok(series(&body))
    }
}

/// The query. A product may name what no route is called: that stays within its quotes.
fn query(metric: &str, namespace: &str, route: &str) -> String {
    let place =
        format!("{namespace}/{route}").replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("sum by (user, plan) (increase({metric}{{limitador_namespace=\"{place}\"}}[24h]))")
}

fn series(body: &Value) -> Vec<((String, String), f64)> {
    let all = body["data"]["result"].as_array().into_iter().flatten();
    all.filter_map(|one| {
        let label = |name: &str| one["metric"][name].as_str().unwrap_or_default().to_owned();
        let number: f64 = one["value"][1].as_str()?.parse().ok()?;
        (number.is_finite() && !label("plan").is_empty()).then(|| ((label("plan"), label("user")), number))
    })
    .collect()
}

/// Numbers per plan, in the order of the plans, and per user: of one, or of all for who may know them.
pub fn answer(counted: &CallCounts, plans: &[(String, Value)], only: Option<&str>) -> Value {
    let plan = |(tier, limits): &(String, Value)| {
        let of_plan = counted.iter().filter(|((plan, _), _)| plan == tier);
        let (calls, limited) =
            of_plan.fold((0.0, 0.0), |(calls, limited), (_, (more, cut))| (calls + more, limited + cut));
        json!({"tier": tier, "limits": limits, "calls24h": whole(calls), "limited24h": whole(limited)})
    };
    let user = |((plan, user), (calls, limited)): (&(String, String), &(f64, f64))| json!({"user": user, "tier": plan, "calls24h": whole(*calls), "limited24h": whole(*limited)});
    let shown = counted.iter().filter(|((_, user), _)| only.is_none_or(|only| user == only));
    json!({
        "available": true, "plans": plans.iter().map(plan).collect::<Vec<_>>(),
        "users": shown.take(MAX_USERS).map(user).collect::<Vec<_>>(),
    })
}

/// Prometheus extrapolates; calls are whole.
fn whole(number: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a count of calls within a day")]
    let rounded = number.round().max(0.0) as i64;
    rounded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_the_route() {
        let expected = "sum by (user, plan) (increase(limited_calls{limitador_namespace=\"a/r\"}[24h]))";
        assert_eq!(query("limited_calls", "a", "r"), expected);
        let name = "r\"}[1h])) or (b{c=~\"\\\n";
        let quoted = "limitador_namespace=\"a/r\\\"}[1h])) or (b{c=~\\\"\\\\\\n\"}[24h]))";
        assert!(query("limited_calls", "a", name).ends_with(quoted), "{}", query("limited_calls", "a", name));
    }

    #[test]
    fn numbers_are_added_up_per_plan() {
        let one = |plan: &str, user: &str, value: &str| json!({"metric": {"plan": plan, "user": user}, "value": [1, value]});
        let body = json!({"data": {"result": [one("gold", "ann", "2.4"), one("gold", "bob", "3"), one("", "x", "9"), one("tin", "y", "NaN")]}});
        let counted: CallCounts =
            series(&body).into_iter().map(|(place, number)| (place, (number, 1.0))).collect();
        let plans = [("gold".to_owned(), json!({"daily": 5})), ("tin".to_owned(), Value::Null)];
        let told = answer(&counted, &plans, Some("bob"));
        let gold = json!({"tier": "gold", "limits": {"daily": 5}, "calls24h": 5, "limited24h": 2});
        let bob = json!([{"user": "bob", "tier": "gold", "calls24h": 3, "limited24h": 1}]);
        assert_eq!((&told["plans"][0], &told["users"]), (&gold, &bob));
        assert_eq!(told["plans"][1]["calls24h"], 0);
        assert_eq!(answer(&counted, &plans, Some("eve"))["users"], json!([]));
        assert_eq!(answer(&counted, &plans, None)["users"][0]["user"], "ann");
    }
}

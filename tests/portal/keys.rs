//! Keys: from the request to the value, and what takes them away.

use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use portolan_core::api::devportal::{ANNOTATION_ROTATE_OVERLAP, APIKey, SECRET_KEY, secret_name};
use portolan_testkit::{eventually, watch_until_gone};
use serde_json::{Value, json};

use crate::{
    scene::{SOON, Stage},
    site::Caller,
};

#[tokio::test]
async fn a_request_waits_for_its_owner_and_becomes_a_key() {
    let stage = Stage::shared().await;
    let place = stage.toystore("asked").await;
    place.publish("owner1", "toys", &json!({})).await;
    let key = place.ask("alice", "toys").await;
    let stored = place.api::<APIKey>().get(&key).await.unwrap();
    assert_eq!(serde_json::to_value(&stored.spec.requested_by).unwrap()["userId"], "alice");
    let alice = stage.portal.by(&stage.login, "alice");
    let pending = alice.get(&place.path(&key, "secret")).await;
    Caller::is_problem(&pending, 404);
    let mine = alice.get("/api/kuadrant/requests/my?namespace=asked").await;
    assert_eq!(mine.json()["items"][0]["metadata"]["name"], key.as_str(), "{}", mine.text);

    let queue = "/api/kuadrant/requests?status=Pending&namespace=asked";
    assert_eq!(stage.portal.by(&stage.login, "owner1").names(queue).await, std::slice::from_ref(&key));
    for other in ["owner2", "alice", "bob"] {
        let by = stage.portal.by(&stage.login, other);
        let refused = by.post(&place.path(&key, "approve"), &json!({})).await;
        Caller::is_problem(&refused, 403);
        assert_eq!(place.phase(&key).await.as_deref().unwrap_or("Pending"), "Pending", "{other}");
    }
    // Its own words reach the requester who may see the request.
    Caller::is_problem(&alice.post(&place.path(&key, "approve"), &json!({})).await, 403);

    place.decide("owner1", &key, "approve", &json!({})).await;
    let status = serde_json::to_value(place.api::<APIKey>().get(&key).await.unwrap().status).unwrap();
    assert_eq!((&status["phase"], &status["reviewedBy"]), (&json!("Approved"), &json!("owner1")), "{status}");
    assert!(status["reviewedAt"].is_string(), "{status}");
    let value = place.value(&key).await;
    assert_eq!(place.revealed("alice", &key).await, value);
    let again = stage.portal.by(&stage.login, "owner1").post(&place.path(&key, "approve"), &json!({})).await;
    assert!([409, 422].contains(&again.status), "{} {}", again.status, again.text);
}

#[tokio::test]
async fn who_may_not_act_on_a_key_is_told_so_whether_there_is_one_or_not() {
    let stage = Stage::shared().await;
    let place = stage.toystore("strangers").await;
    place.publish("owner1", "toys", &json!({})).await;
    let key = place.ask("alice", "toys").await;
    let bob = stage.portal.by(&stage.login, "bob");
    let (decide, update, delete, read) = (
        "you can only update requests for your own api products",
        "you can only update your own api key requests",
        "you can only delete your own api key requests",
        "you can only read your own api key secrets",
    );
    let change = json!({"spec": {"useCase": "mine"}});
    let table = [
        ("POST", "approve", Some(json!({})), decide),
        ("POST", "reject", Some(json!({"reason": "x"})), decide),
        ("POST", "rotate", Some(json!({})), update),
        ("PATCH", "", Some(change), update),
        ("DELETE", "", None, delete),
        ("GET", "secret", None, read),
    ];
    let admin = stage.portal.by(&stage.login, "admin1");
    for (method, verb, body, why) in &table {
        for name in [key.as_str(), "no-such-key"] {
            let refused = bob.send(method, &place.path(name, verb), body.as_ref()).await;
            Caller::is_problem(&refused, 403);
            assert_eq!(refused.json()["error"], *why, "{method} {verb} {name}");
        }
        // Who manages all keys may know what is not there.
        Caller::is_problem(&admin.send(method, &place.path("no-such-key", verb), body.as_ref()).await, 404);
    }
    for name in [key.as_str(), "no-such-key"] {
        Caller::is_problem(&bob.get(&place.path(name, "")).await, 404);
        Caller::is_problem(&bob.get(&format!("/api/kuadrant/apikeys/strangers/{name}/secret")).await, 403);
    }
    assert_eq!(place.phase(&key).await.as_deref().unwrap_or("Pending"), "Pending");
}

#[tokio::test]
async fn a_key_is_read_fresh_each_time_and_by_nobody_else() {
    let stage = Stage::shared().await;
    let place = stage.toystore("fresh").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    let value = place.value(&key).await;
    assert_eq!(place.revealed("alice", &key).await, value);
    let alice = stage.portal.by(&stage.login, "alice");
    for path in [place.path(&key, "secret"), format!("/api/kuadrant/apikeys/fresh/{key}/secret")] {
        let answer = alice.get(&path).await;
        assert_eq!((answer.status, &answer.json()), (200, &json!({"apiKey": value})), "{path}");
        assert_eq!(answer.values("cache-control"), ["no-store"], "{path}");
    }
    for path in ["/requests/my", "/requests/my?namespace=fresh", "/requests", "/apiproducts/fresh/toys"] {
        let answer = alice.get(&format!("/api/kuadrant{path}")).await;
        assert!(!answer.text.contains(&value), "{path}");
    }
    assert!(!alice.get(&place.path(&key, "")).await.text.contains(&value));
    for other in ["bob", "owner1", "owner2"] {
        let by = stage.portal.by(&stage.login, other);
        for path in [place.path(&key, "secret"), format!("/api/kuadrant/apikeys/fresh/{key}/secret")] {
            let answer = by.get(&path).await;
            Caller::is_problem(&answer, 403);
            assert!(!answer.text.contains(&value), "{other}");
        }
    }
    let secrets = place.api::<k8s_openapi::api::core::v1::Secret>();
    let patch = Patch::Merge(json!({"stringData": {SECRET_KEY: "another value"}}));
    secrets.patch(&secret_name(&key), &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(place.revealed("alice", &key).await, "another value");
    assert_eq!(place.revealed("alice", &key).await, "another value");
}

#[tokio::test]
async fn an_automatic_product_needs_nobody() {
    let stage = Stage::shared().await;
    let place = stage.toystore("auto").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let asked = place.ask("alice", "toys").await;
    let by_kubectl: APIKey = serde_json::from_value(json!({"metadata": {"name": "k1"}, "spec": {
        "apiProductRef": {"name": "toys"}, "planTier": "silver", "useCase": "x",
        "requestedBy": {"userId": "alice", "email": "alice@example.com"}}}))
    .unwrap();
    let keys: Api<APIKey> = Api::namespaced(stage.kubectl("alice").await, "auto");
    keys.create(&PostParams::default(), &by_kubectl).await.unwrap();
    for key in [asked.as_str(), "k1"] {
        let value = place.value(key).await;
        assert_eq!(place.revealed("alice", key).await, value, "{key}");
        let status = serde_json::to_value(place.api::<APIKey>().get(key).await.unwrap().status).unwrap();
        assert_eq!(
            (&status["phase"], &status["reviewedBy"]),
            (&json!("Approved"), &json!("system")),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_rejection_has_a_reason_and_takes_the_key_away() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rejected").await;
    place.publish("owner1", "toys", &json!({})).await;
    let (never, once) = (place.ask("alice", "toys").await, place.ask("alice", "toys").await);
    place.decide("owner1", &never, "reject", &json!({"reason": "say what for"})).await;
    let alice = stage.portal.by(&stage.login, "alice");
    let seen = alice.get(&place.path(&never, "")).await.json();
    assert_eq!(
        (&seen["status"]["phase"], &seen["status"]["reason"]),
        (&json!("Rejected"), &json!("say what for")),
        "{seen}"
    );
    assert!(place.secret(&never).await.is_none());
    // Scripts need not say why, and may say it as a comment.
    for (body, reason) in [(json!({}), json!(null)), (json!({"comment": "not now"}), json!("not now"))] {
        let key = place.ask("bob", "toys").await;
        place.decide("owner1", &key, "reject", &body).await;
        let seen = stage.portal.by(&stage.login, "bob").get(&place.path(&key, "")).await.json();
        assert_eq!((&seen["status"]["phase"], &seen["status"]["reason"]), (&json!("Rejected"), &reason));
    }

    place.decide("owner1", &once, "approve", &json!({})).await;
    let value = place.revealed("alice", &once).await;
    place.decide("owner1", &once, "reject", &json!({"reason": "it leaked"})).await;
    let gone = async || place.secret(&once).await.is_none().then_some(());
    eventually("the Secret is gone", SOON, gone).await.unwrap();
    let answer = alice.get(&place.path(&once, "secret")).await;
    assert!((400..500).contains(&answer.status) && !answer.text.contains(&value), "{}", answer.text);
    let rejected = alice.names("/api/kuadrant/requests/my?namespace=rejected&status=Rejected").await;
    assert_eq!(rejected.len(), 2, "{rejected:?}");
    assert!(place.secret(&never).await.is_none());
}

#[tokio::test]
async fn keys_are_where_their_product_is_and_nowhere_else() {
    let stage = Stage::shared().await;
    let (place, elsewhere) = (stage.toystore("home").await, stage.toystore("elsewhere").await);
    place.publish("owner1", "toys", &json!({})).await;
    let alice = stage.portal.by(&stage.login, "alice");
    let body = |namespace: &str, more: &[(&str, Value)]| {
        let mut body = json!({"apiProductName": "toys", "namespace": namespace, "planTier": "gold",
                              "userEmail": "alice@example.com"});
        for (name, value) in more {
            body[*name] = value.clone();
        }
        body
    };
    let refused = [
        body("elsewhere", &[]),
        body("home", &[("planTier", json!("platinum"))]),
        body("home", &[("apiNamespace", json!("elsewhere"))]),
        body("home", &[("secretNamespace", json!("elsewhere"))]),
        body("home", &[("requestedBy", json!({"userId": "bob"}))]),
        body("no-such-namespace", &[]),
        json!({"apiProductName": "toys"}),
    ];
    for body in refused {
        let answer = alice.post("/api/kuadrant/requests", &body).await;
        if answer.status == 201 {
            // A field that is not known may be ignored, but it moves nothing and names nobody else.
            let made = answer.json();
            assert_eq!(
                (&made["metadata"]["namespace"], &made["spec"]["requestedBy"]["userId"]),
                (&json!("home"), &json!("alice")),
                "{body}"
            );
            assert!(body["namespace"] == "home" && body["planTier"] == "gold", "{body}");
            continue;
        }
        assert!((400..500).contains(&answer.status), "{body}: {} {}", answer.status, answer.text);
    }
    assert!(
        elsewhere.api::<APIKey>().list(&kube::api::ListParams::default()).await.unwrap().items.is_empty()
    );
}

#[tokio::test]
async fn the_same_name_elsewhere_is_another_product() {
    let stage = Stage::shared().await;
    let (here, there) = (stage.toystore("same-a").await, stage.toystore("same-b").await);
    here.publish("owner1", "p1", &json!({})).await;
    here.publish("owner2", "p2", &json!({})).await;
    there.publish("owner2", "p1", &json!({})).await;
    let key = here.ask("alice", "p1").await;
    let theirs = there.ask("alice", "p1").await;
    let queue = async |who: &str| {
        let by = stage.portal.by(&stage.login, who);
        let mut names = by.names("/api/kuadrant/requests?namespace=same-a").await;
        names.extend(by.names("/api/kuadrant/requests?namespace=same-b").await);
        names
    };
    assert_eq!((queue("owner1").await, queue("owner2").await), (vec![key.clone()], vec![theirs.clone()]));
    let owner2 = stage.portal.by(&stage.login, "owner2");
    Caller::is_problem(&owner2.post(&here.path(&key, "approve"), &json!({})).await, 403);
    here.decide("owner1", &key, "approve", &json!({})).await;
    there.decide("owner2", &theirs, "approve", &json!({})).await;
    let value = here.value(&key).await;
    assert_ne!(value, there.value(&theirs).await);
    for path in ["same-a/p2", "same-b/p1"] {
        assert_eq!(owner2.delete(&format!("/api/kuadrant/apiproducts/{path}")).await.status, 204, "{path}");
    }
    watch_until_gone(there.api::<APIKey>(), &theirs, SOON).await.unwrap();
    assert_eq!(here.value(&key).await, value);
    assert_eq!(here.phase(&key).await.as_deref(), Some("Approved"));
}

#[tokio::test]
async fn requests_are_edited_while_they_wait_and_deleted_at_any_time() {
    let stage = Stage::shared().await;
    let place = stage.toystore("edited").await;
    place.publish("owner1", "toys", &json!({})).await;
    let key = place.ask("alice", "toys").await;
    let alice = stage.portal.by(&stage.login, "alice");
    let edit = json!({"spec": {"planTier": "silver", "useCase": "another"}});
    let edited = alice.patch(&place.path(&key, ""), &edit).await;
    assert_eq!(
        (edited.status, &edited.json()["spec"]["planTier"]),
        (200, &json!("silver")),
        "{}",
        edited.text
    );
    let unknown = json!({"spec": {"planTier": "platinum"}});
    Caller::is_problem(&alice.patch(&place.path(&key, ""), &unknown).await, 422);
    // The portal waits until the controller has looked at what is new.
    place.decide("owner1", &key, "approve", &json!({})).await;
    let late = alice.patch(&place.path(&key, ""), &edit).await;
    Caller::is_problem(&late, 403);
    assert_eq!(late.json()["error"], "only pending requests can be edited");
    place.value(&key).await;
    let bob = stage.portal.by(&stage.login, "bob");
    Caller::is_problem(&bob.delete(&place.path(&key, "")).await, 403);
    assert_eq!(alice.delete(&place.path(&key, "")).await.status, 204);
    assert!(alice.names("/api/kuadrant/requests/my?namespace=edited").await.is_empty());
    watch_until_gone(place.api::<APIKey>(), &key, SOON).await.unwrap();
}

#[tokio::test]
async fn a_request_that_is_sent_twice_is_one_key() {
    let stage = Stage::shared().await;
    let place = stage.toystore("resent").await;
    place.publish("owner1", "toys", &json!({})).await;
    let alice = stage.portal.by(&stage.login, "alice");
    let with_id = stage.portal.with(&format!("{}idempotency-key: one\r\n", alice.headers));
    let body = |tier: &str| json!({"apiProductName": "toys", "namespace": "resent", "planTier": tier, "userEmail": "alice@example.com"});
    let (gold, silver) = (body("gold"), body("silver"));
    let at_once = async || with_id.post("/api/kuadrant/requests", &gold).await;
    let (one, two, three) = tokio::join!(at_once(), at_once(), at_once());
    for answer in [&one, &two, &three] {
        assert_eq!(answer.status, 201, "{}", answer.text);
        assert_eq!(answer.json()["metadata"]["uid"], one.json()["metadata"]["uid"]);
    }
    Caller::is_problem(&with_id.post("/api/kuadrant/requests", &silver).await, 409);
    let mut other = gold.clone();
    other["useCase"] = json!("another");
    Caller::is_problem(&with_id.post("/api/kuadrant/requests", &other).await, 409);
    let keys = place.api::<APIKey>().list(&kube::api::ListParams::default()).await.unwrap();
    assert_eq!(keys.items.len(), 1);
    assert_eq!(
        alice.post("/api/kuadrant/requests", &gold).await.status,
        201,
        "without an id, it is another one"
    );
}

#[tokio::test]
async fn many_are_decided_at_once_and_each_has_its_answer() {
    let stage = Stage::shared().await;
    let place = stage.toystore("bulk").await;
    place.publish("owner1", "toys", &json!({})).await;
    let keys = [place.ask("alice", "toys").await, place.ask("bob", "toys").await];
    let owner = stage.portal.by(&stage.login, "owner1");
    let of = |names: &[&str]| {
        let requests: Vec<_> = names.iter().map(|name| json!({"namespace": "bulk", "name": name})).collect();
        json!({"requests": requests, "reason": "no more"})
    };
    let body = of(&[&keys[0], "nope", &keys[1]]);
    let approved = owner.post("/api/kuadrant/requests/bulk-approve", &body).await;
    assert_eq!(approved.status, 200, "{}", approved.text);
    let results = approved.json()["results"].clone();
    for (index, (name, success)) in
        [(keys[0].as_str(), true), ("nope", false), (&keys[1], true)].into_iter().enumerate()
    {
        let result = &results[index];
        assert_eq!(
            (&result["namespace"], &result["name"], &result["success"]),
            (&json!("bulk"), &json!(name), &json!(success)),
            "{results}"
        );
        assert_eq!(result["error"].is_string(), !success, "{results}");
    }
    let rejected = owner.post("/api/kuadrant/requests/bulk-reject", &of(&[&keys[1]])).await;
    assert_eq!(rejected.json()["results"][0]["success"], true, "{}", rejected.text);
    assert_eq!(place.phase(&keys[0]).await.as_deref(), Some("Approved"));
    assert_eq!(place.phase(&keys[1]).await.as_deref(), Some("Rejected"));
    let unsaid = json!({"requests": [{"namespace": "bulk", "name": keys[0]}]});
    let rejected = owner.post("/api/kuadrant/requests/bulk-reject", &unsaid).await;
    assert_eq!((rejected.status, &rejected.json()["results"][0]["success"]), (200, &json!(true)));
    assert_eq!(place.phase(&keys[0]).await.as_deref(), Some("Rejected"));
}

#[tokio::test]
async fn a_secret_without_its_apikey_is_no_key() {
    let stage = Stage::shared().await;
    let place = stage.toystore("handmade").await;
    place.publish("owner1", "toys", &json!({})).await;
    let secret = json!({"metadata": {"name": "alice-key",
        "labels": {"app": "my-api-product", "authorino.kuadrant.io/managed-by": "authorino"},
        "annotations": {"secret.kuadrant.io/plan-id": "gold", "secret.kuadrant.io/user-id": "alice"}},
        "stringData": {"api_key": "IAMALICE"}});
    let secrets = place.api::<k8s_openapi::api::core::v1::Secret>();
    secrets.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let key = place.ask("alice", "toys").await;
    let alice = stage.portal.by(&stage.login, "alice");
    assert_eq!(alice.names("/api/kuadrant/requests/my?namespace=handmade").await, std::slice::from_ref(&key));
    Caller::is_problem(&alice.get("/api/kuadrant/apikeys/handmade/alice-key").await, 404);
    Caller::is_problem(&alice.get("/api/kuadrant/apikeys/handmade/alice-key/secret").await, 403);
    place.decide("owner1", &key, "approve", &json!({})).await;
    place.value(&key).await;
    assert_eq!(secrets.get("alice-key").await.unwrap().name_any(), "alice-key");
}

#[tokio::test]
async fn a_rotated_key_has_another_value() {
    let stage = Stage::shared().await;
    let place = stage.toystore("rotated").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    let before = place.revealed("alice", &key).await;
    let alice = stage.portal.by(&stage.login, "alice");
    let rotated = alice.post(&place.path(&key, "rotate"), &json!({})).await;
    assert_eq!((rotated.status, &rotated.json()), (200, &json!({"success": true})), "{}", rotated.text);
    let look = async || (place.value(&key).await != before).then_some(());
    eventually("a fresh value", SOON, look).await.unwrap();
    assert_ne!(place.revealed("alice", &key).await, before);
    // What one rotation asks for is not asked for by the next one.
    for (body, overlap) in [(json!({"overlap": "0"}), Some("0")), (json!({}), None)] {
        assert_eq!(alice.post(&place.path(&key, "rotate"), &body).await.status, 200);
        let annotations = place.api::<APIKey>().get(&key).await.unwrap().metadata.annotations.unwrap();
        let kept = annotations.get(ANNOTATION_ROTATE_OVERLAP).map(String::as_str);
        assert_eq!(kept, overlap, "{annotations:?}");
    }
    // A span that nobody can read would become the usual one.
    for overlap in [json!(0), json!("soon"), json!("-1h"), json!({})] {
        let refused = alice.post(&place.path(&key, "rotate"), &json!({"overlap": overlap})).await;
        Caller::is_problem(&refused, 400);
    }
    let bob = stage.portal.by(&stage.login, "bob");
    Caller::is_problem(&bob.post(&place.path(&key, "rotate"), &json!({})).await, 403);
    place.publish("owner1", "slow", &json!({})).await;
    let waiting = place.ask("alice", "slow").await;
    Caller::is_problem(&alice.post(&place.path(&waiting, "rotate"), &json!({})).await, 422);
}

#[tokio::test]
async fn each_reveal_is_told_without_the_key() {
    let stage = Stage::shared().await;
    let place = stage.toystore("told").await;
    place.publish("owner1", "toys", &json!({"approvalMode": "automatic"})).await;
    let key = place.ask("alice", "toys").await;
    let value = place.revealed("alice", &key).await;
    let kind = kube::api::GroupVersionKind::gvk("events.k8s.io", "v1", "Event");
    let events: Api<DynamicObject> =
        Api::namespaced_with(stage.client(), "told", &kube::api::ApiResource::from_gvk(&kind));
    let look = async || {
        let all = serde_json::to_value(events.list(&kube::api::ListParams::default()).await.unwrap().items)
            .unwrap();
        assert!(!all.to_string().contains(&value), "{all}");
        let is = |event: &&Value| {
            event["reason"] == "KeyRevealed"
                && event["regarding"]["name"] == key.as_str()
                && event["note"].as_str().is_some_and(|note| note.contains("alice"))
        };
        all.as_array()?.iter().find(is).cloned()
    };
    eventually("an Event about the reveal", SOON, look).await.unwrap();
}

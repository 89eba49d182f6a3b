//! What the speed of the token service is compared with: the least that a server with axum can do. It reads the
//! same JSON and answers a fixed review. `yardstick 127.0.0.1:8080`

use std::net::SocketAddr;

use axum::{Json, Router, routing::post};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Review {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    token: String,
    #[serde(rename = "audiences")]
    _audiences: Vec<String>,
}

async fn review(Json(review): Json<Review>) -> Json<Value> {
    Json(json!({
        "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": {},
        "status": {
            "authenticated": !review.spec.token.is_empty(),
            "user": {
                "username": "system:serviceaccount:default:app", "uid": "sa-uid",
                "groups": ["system:serviceaccounts", "system:serviceaccounts:default"],
            },
            "audiences": ["x"],
        },
    }))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).and_then(|address| address.parse::<SocketAddr>().ok());
    let Some(address) = address else {
        return Err(std::io::Error::other("usage: yardstick ADDRESS:PORT"));
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, Router::new().fallback(post(review))).await
}

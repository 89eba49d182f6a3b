//! A yardstick for the token service: the least that a server with axum can do. It reads the same JSON and answers
//! the same bytes to every question. `yardstick 127.0.0.1:8080`

use std::net::SocketAddr;

use axum::{
    Json, Router,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;

const ANSWER: &str = r#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{},"status":{"authenticated":true,"user":{"username":"system:serviceaccount:default:app","uid":"sa-uid","groups":["system:serviceaccounts","system:serviceaccounts:default"]},"audiences":["x"]}}"#;

#[derive(Deserialize)]
struct Review {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    #[serde(rename = "spec")]
    _spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    #[serde(rename = "token")]
    _token: String,
    #[serde(rename = "audiences")]
    _audiences: Vec<String>,
}

async fn review(_: Json<Review>) -> Response {
    ([(CONTENT_TYPE, "application/json")], ANSWER).into_response()
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

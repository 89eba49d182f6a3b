//! `graphql-transport-ws`, as a client of the protocol speaks it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest as _, handshake::client::Request},
};

use super::{
    fake::{Fake, refusal, widgets},
    support::{Gateway, SOON, World, world},
};

struct Socket(WebSocketStream<TcpStream>);

/// A connection to the gateway, and what opens a socket there.
async fn door(port: u16) -> (Request, TcpStream) {
    let address = format!("127.0.0.1:{port}");
    let request = format!("ws://{address}/a/graphql").into_client_request().unwrap();
    (request, TcpStream::connect(address).await.unwrap())
}

impl Socket {
    async fn open(world: &World, authorization: Option<&str>) -> Self {
        Self::at(world.gateway.port, authorization).await
    }

    async fn at(port: u16, authorization: Option<&str>) -> Self {
        let (mut request, stream) = door(port).await;
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        if let Some(token) = authorization {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let (socket, answer) = client_async(request, stream).await.unwrap();
        assert_eq!(answer.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        Self(socket)
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The next message, or the code with which the server closes.
    async fn hear(&mut self) -> Result<Value, u16> {
        loop {
            let message = timeout(SOON, self.0.next()).await.expect("nothing comes").unwrap().unwrap();
            match message {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(close) => return Err(close.unwrap().code.into()),
                _ => {}
            }
        }
    }

    async fn initialised(world: &World) -> Self {
        let mut socket = Self::open(world, None).await;
        let payload = json!({"Authorization": format!("Bearer {}", world.admin)});
        socket.say(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
        socket
    }
}

fn subscribe(id: &str, query: &str) -> Value {
    json!({"id": id, "type": "subscribe", "payload": {"query": query}})
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_share_a_socket() {
    let world = world().await;
    world.namespace("sockets").await;
    world.config_map("sockets", "a", &[]).await;
    let mut socket = Socket::initialised(world).await;
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "pong"})));
    socket.say(subscribe("q", "{__typename}")).await;
    assert_eq!(
        socket.hear().await,
        Ok(json!({"id": "q", "type": "next", "payload": {"data": {"__typename": "Query"}}}))
    );
    assert_eq!(socket.hear().await, Ok(json!({"id": "q", "type": "complete"})));
    socket.say(subscribe("bad", "{nothing}")).await;
    let error = socket.hear().await.unwrap();
    assert_eq!(
        (&error["type"], &error["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("GRAPHQL_VALIDATION_FAILED"))
    );
    let query = "subscription{v1_configmaps(namespace:\"sockets\",labelselector:\"test=list\"){type object{metadata{name}}}}";
    socket.say(subscribe("s", query)).await;
    let event = |kind: &str, name: &str| json!({"id": "s", "type": "next", "payload": {"data": {"v1_configmaps": {"type": kind, "object": {"metadata": {"name": name}}}}}});
    assert_eq!(socket.hear().await, Ok(event("ADDED", "a")));
    world.config_map("sockets", "b", &[]).await;
    assert_eq!(socket.hear().await, Ok(event("ADDED", "b")));
    // After `complete` nothing comes any more, and its id is free again.
    socket.say(json!({"id": "s", "type": "complete"})).await;
    socket.say(subscribe("s", "{__typename}")).await;
    let next = socket.hear().await.unwrap();
    assert_eq!(next["payload"]["data"]["__typename"], "Query", "{next}");
    assert_eq!(socket.hear().await, Ok(json!({"id": "s", "type": "complete"})));
    world.config_map("sockets", "c", &[]).await;
    socket.say(json!({"type": "ping"})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "pong"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn closes_have_the_codes_of_the_protocol() {
    let world = world().await;
    let init = |token: &str| json!({"type": "connection_init", "payload": {"Authorization": format!("Bearer {token}")}});
    let table = [
        (json!({"type": "connection_init"}), 4401),
        (subscribe("q", "{__typename}"), 4401),
        (init("nonsense"), 4403),
        (json!("nonsense"), 4400),
    ];
    for (first, code) in table {
        let mut socket = Socket::open(world, None).await;
        socket.say(first.clone()).await;
        assert_eq!(socket.hear().await, Err(code), "{first}");
    }
    let mut twice = Socket::initialised(world).await;
    twice.say(init(&world.admin)).await;
    assert_eq!(twice.hear().await, Err(4429));
    let mut same = Socket::initialised(world).await;
    for _ in 0..2 {
        same.say(subscribe("s", "subscription{v1_configmaps(namespace:\"none\"){type}}")).await;
    }
    assert_eq!(same.hear().await, Err(4409));
    // Programs may send the header with the upgrade instead.
    let mut by_header = Socket::open(world, Some(&world.admin)).await;
    by_header.say(json!({"type": "connection_init"})).await;
    assert_eq!(by_header.hear().await, Ok(json!({"type": "connection_ack"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_come_at_any_time() {
    let world = world().await;
    let mut socket = Socket::open(world, None).await;
    socket.0.send(Message::Ping(Vec::<u8>::new().into())).await.unwrap();
    socket.say(json!({"type": "pong"})).await;
    socket.say(json!({"type": "ping", "payload": {"at": 1}})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "pong"})));
    let payload = json!({"authorization": format!("bearer {}", world.admin)});
    socket.say(json!({"type": "connection_init", "payload": payload})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_protocol_is_spoken_and_nobody_is_somebody_else() {
    let world = world().await;
    let (request, stream) = door(world.gateway.port).await;
    let mut unspoken = Socket(client_async(request, stream).await.unwrap().0);
    assert_eq!(unspoken.hear().await, Err(4406));
    let (mut request, stream) = door(world.gateway.port).await;
    request.headers_mut().insert("impersonate-user", "admin".parse().unwrap());
    let Err(Error::Http(refused)) = client_async(request, stream).await else { panic!("it is open") };
    assert_eq!(refused.status(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_socket_is_pinged() {
    let mut socket = Socket::initialised(world().await).await;
    let message = timeout(SOON, socket.0.next()).await.expect("nothing comes").unwrap().unwrap();
    assert!(matches!(message, Message::Ping(_)), "{message:?}");
}

/// S9 and G11: a socket has one token, and ends with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_token() {
    let is_revoked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_revoked);
    let fake = Fake::start(move |asked| match asked.path.as_str() {
        _ if flag.load(Ordering::Relaxed) => refusal(401, "Unauthorized", "Unauthorized"),
        path if path.contains("watch=true") => (200, String::new()),
        path if path.starts_with("/apis/x.io/") => (200, widgets(&["a"])),
        _ => (404, String::new()),
    })
    .await;
    let gateway = Gateway::start("socket-token", &[("a.json", &fake.document())], &[]).await;
    let mut socket = Socket::at(gateway.port, Some("somebody")).await;
    socket.say(json!({"type": "connection_init"})).await;
    assert_eq!(socket.hear().await, Ok(json!({"type": "connection_ack"})));
    let query = "subscription{x_io_v1_widgets(namespace:\"n\"){type object{metadata{name}}}}";
    socket.say(subscribe("s", query)).await;
    let added = json!({"x_io_v1_widgets": {"type": "ADDED", "object": {"metadata": {"name": "a"}}}});
    assert_eq!(socket.hear().await, Ok(json!({"id": "s", "type": "next", "payload": {"data": added}})));
    is_revoked.store(true, Ordering::Relaxed);
    let last = socket.hear().await.unwrap();
    assert_eq!(last["payload"]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED", "{last}");
    assert_eq!(socket.hear().await, Ok(json!({"id": "s", "type": "complete"})));
    assert_eq!(socket.hear().await, Err(4401));
}

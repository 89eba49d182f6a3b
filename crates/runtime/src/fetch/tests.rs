//! Servers that misbehave, on loopback, which the policy of these tests names.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

use super::*;

/// A server that sends these chunks to every connection, with a pause after each, and notes what it was sent.
struct Rude {
    url: Uri,
    seen: Arc<parking_lot::Mutex<String>>,
    connections: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

async fn rude(chunks: Vec<String>, pause: Duration) -> Rude {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap()).parse().unwrap();
    let (seen, connections) = (Arc::<parking_lot::Mutex<String>>::default(), Arc::<AtomicUsize>::default());
    let (notes, count) = (Arc::clone(&seen), Arc::clone(&connections));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).await.unwrap_or(0);
            notes.lock().push_str(&String::from_utf8_lossy(&buffer[..length]));
            for chunk in &chunks {
                if stream.write_all(chunk.as_bytes()).await.is_err() {
                    break;
                }
                tokio::time::sleep(pause).await;
            }
        }
    });
    Rude { url, seen, connections, _serving: serving }
}

fn settings() -> FetchSettings {
    let mut settings = FetchSettings { plain_http: true, max_bytes: 1000, ..FetchSettings::default() };
    settings.policy.named = vec!["127.0.0.1".parse().unwrap()];
    settings
}

fn fetcher() -> Fetcher {
    Fetcher::new(&settings()).unwrap()
}

#[tokio::test]
async fn a_long_answer_is_cut_off() {
    let server = rude(vec!["HTTP/1.1 200 OK\r\n\r\n".to_owned(), "x".repeat(2000)], Duration::ZERO).await;
    let error = fetcher().get(&server.url, None).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(1000)), "{error:?}");
}

#[tokio::test]
async fn a_dripping_answer_ends_in_time() {
    let mut chunks = vec!["HTTP/1.1 200 OK\r\n\r\n".to_owned()];
    chunks.extend(std::iter::repeat_n("x".to_owned(), 100));
    let server = rude(chunks, Duration::from_millis(50)).await;
    let start = tokio::time::Instant::now();
    let impatient = FetchSettings { total_timeout: Duration::from_millis(500), ..settings() };
    let error = Fetcher::new(&impatient).unwrap().get(&server.url, None).await.unwrap_err();
    assert!(matches!(error, FetchError::TotalTimeout), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(4), "long before the last drop");
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let target = rude(vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()], Duration::ZERO).await;
    let answer = format!("HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n", target.url);
    let server = rude(vec![answer], Duration::ZERO).await;
    let error = fetcher().get(&server.url, None).await.unwrap_err();
    assert!(matches!(error, FetchError::ForeignRedirect), "{error:?}");
    assert_eq!(target.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_credential_goes_to_its_own_host_only() {
    let answer = || vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()];
    let (own, other) = (rude(answer(), Duration::ZERO).await, rude(answer(), Duration::ZERO).await);
    let credential = FetchCredential::new(&own.url, SecretString::from("s3cret")).unwrap();
    let fetcher = fetcher();
    fetcher.get(&own.url, Some(&credential)).await.unwrap();
    fetcher.get(&other.url, Some(&credential)).await.unwrap();
    assert!(own.seen.lock().contains("Bearer s3cret"));
    assert!(!other.seen.lock().contains("s3cret"));
}

#[tokio::test]
async fn an_address_that_is_not_named_is_not_connected_to() {
    let server = rude(vec![], Duration::ZERO).await;
    let unnamed = FetchSettings { plain_http: true, ..FetchSettings::default() };
    let error = Fetcher::new(&unnamed).unwrap().get(&server.url, None).await.unwrap_err();
    assert!(error.is_forbidden(), "{error:?}");
    assert_eq!(server.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn plain_http_and_odd_urls_are_refused() {
    let strict = Fetcher::new(&FetchSettings::default()).unwrap();
    let refused = strict.get(&Uri::from_static("http://127.0.0.1:1/"), None).await;
    assert!(matches!(refused, Err(FetchError::PlainHttp)));
    for url in ["ftp://127.0.0.1/", "https://user@127.0.0.1/", "/x"] {
        assert!(matches!(strict.get(&Uri::from_static(url), None).await, Err(FetchError::Url(_))), "{url}");
    }
}

#[tokio::test]
async fn a_question_says_no_more_than_it_is() {
    let answer = || vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()];
    let (asked, told) = (rude(answer(), Duration::ZERO).await, rude(answer(), Duration::ZERO).await);
    fetcher().get(&asked.url, None).await.unwrap();
    fetcher().post_json(&told.url, b"{}".to_vec(), None).await.unwrap();
    let (asked, told) = (asked.seen.lock().to_lowercase(), told.seen.lock().to_lowercase());
    assert!(
        asked.contains("\r\naccept-encoding: identity\r\n") && !asked.contains("content-type"),
        "{asked}"
    );
    assert!(told.contains("\r\ncontent-type: application/json\r\n"), "{told}");
}

#[tokio::test]
async fn an_address_that_takes_connections_and_says_nothing_holds_up_nobody() {
    // Nobody accepts: the kernel alone makes the connection.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = rude(vec!["HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()], Duration::ZERO).await;
    let second = other.url.authority().unwrap().as_str().parse().unwrap();
    let (connector, url) = (connector(&settings()).unwrap(), Uri::from_static("https://two.test/"));
    let reached = connector.reach(vec![silent.local_addr().unwrap(), second], &url);
    assert!(timeout(Duration::from_secs(2), reached).await.is_err(), "the first may still answer");
    assert_eq!(other.connections.load(Ordering::SeqCst), 1);
}

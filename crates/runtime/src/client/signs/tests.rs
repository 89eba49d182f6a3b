//! When a connection is doubted, and when an API server is out of contact.

use super::*;

fn line() -> Arc<Line> {
    let line = Line::new(Server::new("remote"));
    line.server.multiplexes.store(true, Ordering::Relaxed);
    line.heard();
    line
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_doubted_when_it_was_asked_in_vain() {
    let line = line();
    sleep(Duration::from_secs(60)).await;
    assert!(!line.keeps_silent(), "nobody has asked");
    let (first, _exchange) = line.ask();
    sleep(DOUBT / 2).await;
    assert!(!line.keeps_silent(), "it may still answer");
    let (second, _exchange) = line.ask();
    sleep(DOUBT / 2).await;
    assert!(line.keeps_silent(), "the first request counts");
    line.heard();
    assert!(!line.keeps_silent(), "it lives, though it has not answered");
    first.ends();
    second.ends();
    assert!(!line.is_doubted());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_in_vain_leaves_a_doubt() {
    for (waits, hears, doubted) in [(2, false, false), (4, false, true), (4, true, false)] {
        let line = line();
        sleep(Duration::from_secs(1)).await;
        let (unanswered, exchange) = line.ask();
        sleep(Duration::from_secs(waits)).await;
        if hears {
            line.heard();
        }
        drop((unanswered, exchange));
        assert_eq!((line.is_doubted(), line.exchanges()), (doubted, 0), "{waits} {hears}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_no_reason_for_doubt() {
    for multiplexes in [true, false] {
        let line = line();
        line.server.multiplexes.store(multiplexes, Ordering::Relaxed);
        let late = async || {
            sleep(Duration::from_secs(1)).await;
            let asked = line.ask();
            sleep(DOUBT * 2).await;
            asked
        };
        let (unanswered, _exchange) = late().await;
        line.heard();
        unanswered.ends();
        assert!(!line.is_doubted() && line.is_trusted(), "{multiplexes}");
        sleep(OUT_OF_CONTACT * 2).await;
        assert_eq!(line.server.out_of_contact(), None, "who asks nothing hears nothing: {multiplexes}");
        let given_up = late().await;
        drop(given_up);
        assert!(line.is_doubted(), "{multiplexes}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_lies_beside_a_connection_in_doubt_is_of_use_once_it_is_heard() {
    let first = line();
    let beside = Line::new(Arc::clone(&first.server));
    beside.heard();
    sleep(Duration::from_secs(1)).await;
    let asked = first.ask();
    sleep(DOUBT).await;
    assert!(first.is_trusted() && beside.is_trusted(), "nobody is in doubt");
    drop(asked);
    let new = Line::new(Arc::clone(&first.server));
    assert_eq!([&first, &beside, &new].map(|line| line.is_trusted()), [false, false, true]);
    for line in [&first, &beside, &new] {
        line.heard();
    }
    assert_eq!([&first, &beside, &new].map(|line| line.is_trusted()), [false, true, true]);
    // With HTTP/1.1, each request has its own connection.
    let other = line();
    other.server.multiplexes.store(false, Ordering::Relaxed);
    let beside = Line::new(Arc::clone(&other.server));
    beside.heard();
    sleep(Duration::from_secs(1)).await;
    other.ask();
    other.doubt();
    assert!(beside.is_trusted());
}

#[tokio::test(start_paused = true)]
async fn who_asks_nothing_is_not_out_of_contact() {
    let server = Server::new("remote");
    sleep(Duration::from_secs(100)).await;
    assert_eq!(server.out_of_contact(), None);
    server.failed();
    assert!(server.out_of_contact().is_some());
    server.heard.set();
    assert_eq!(server.out_of_contact(), None);
    server.failed();
    assert_eq!(server.out_of_contact(), None, "a moment of trouble is none");
}

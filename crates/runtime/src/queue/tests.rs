//! The keys that a queue gives, and when.

use super::*;

async fn next_within(queue: &WorkQueue<&'static str>, limit: Duration) -> Option<&'static str> {
    tokio::time::timeout(limit, queue.next()).await.ok()
}

const SOON: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn a_key_is_in_the_queue_once() {
    let queue = WorkQueue::default();
    queue.add("a");
    queue.add("a");
    queue.add("b");
    assert_eq!(queue.depth(), 2);
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    assert_eq!(next_within(&queue, SOON).await, Some("b"));
    assert_eq!(next_within(&queue, SOON).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_worked_on_comes_up_once_more_afterwards() {
    let queue = WorkQueue::default();
    queue.add("a");
    queue.next().await;
    queue.add("a");
    queue.add("a");
    assert_eq!(next_within(&queue, SOON).await, None, "two workers must not have the same key");
    queue.done(&"a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    queue.done(&"a");
    assert_eq!(next_within(&queue, SOON).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_key_waits_longer_each_time_and_starts_anew_after_success() {
    let queue = WorkQueue::default();
    queue.add("a");
    let mut delays = Vec::new();
    for _ in 0..5 {
        queue.next().await;
        delays.push(queue.failed(&"a"));
    }
    assert!(delays[4] > delays[0] * 4, "{delays:?}");
    queue.next().await;
    queue.done(&"a");
    queue.add("a");
    queue.next().await;
    assert!(queue.failed(&"a") <= RETRY_MIN);
}

#[tokio::test(start_paused = true)]
async fn news_of_a_delayed_key_is_not_kept_waiting() {
    let queue = WorkQueue::default();
    queue.add_after("a", Duration::from_secs(60));
    assert_eq!(next_within(&queue, SOON).await, None);
    queue.add("a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    queue.done(&"a");
    assert_eq!(next_within(&queue, Duration::from_secs(120)).await, None, "the old delay is void");
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_two_delays_counts() {
    let queue = WorkQueue::default();
    queue.add_after("a", Duration::from_secs(60));
    queue.add_after("a", Duration::from_secs(1));
    assert_eq!(next_within(&queue, Duration::from_secs(2)).await, Some("a"));
    queue.done(&"a");
    assert_eq!(next_within(&queue, Duration::from_secs(120)).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_last_come_when_no_other_waits() {
    let queue = WorkQueue::default();
    queue.add_last("a");
    queue.add_last("b");
    queue.add("c");
    queue.add("b");
    let mut order = Vec::new();
    while let Some(key) = next_within(&queue, SOON).await {
        order.push(key);
        queue.done(&key);
    }
    assert_eq!(order, ["c", "b", "a"], "news of b makes it one of the others");
    queue.add_last("a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    queue.add("a");
    queue.done(&"a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
}

#[tokio::test(start_paused = true)]
async fn one_of_the_last_is_not_lost_while_it_is_worked_on() {
    let queue = WorkQueue::default();
    queue.add("a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    queue.add_last("a");
    assert_eq!(next_within(&queue, SOON).await, None, "two workers must not have the same key");
    queue.done(&"a");
    assert_eq!(next_within(&queue, SOON).await, Some("a"));
    queue.done(&"a");
    // However often it changes its place, it is in the queue once.
    for _ in 0..3 {
        queue.add_last("b");
        queue.add("b");
        assert_eq!(next_within(&queue, SOON).await, Some("b"));
        queue.done(&"b");
    }
    assert_eq!(queue.inner.lock().last.len(), 1);
    assert_eq!(next_within(&queue, SOON).await, None);
    assert!(queue.inner.lock().entries.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_on_a_delay_hears_of_new_keys() {
    let queue = WorkQueue::default();
    queue.add_after("later", Duration::from_secs(60));
    let (key, ()) = tokio::join!(queue.next(), async { queue.add("now") });
    assert_eq!(key, "now");
}

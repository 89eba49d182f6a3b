//! The life of a kind in memory, by a clock that the tests move.

use tokio::time::advance;

use super::{
    super::tests::{object, resource},
    *,
};

/// A kind that is whole at a version, and its filling.
fn whole(version: u64) -> (KeptKind, FillingNumber) {
    let (kept, tasks) = (KeptKind::new(resource("", "pods")), Tasks::default());
    assert!(kept.asked(&tasks).is_none());
    let (filling, _) = kept.asked(&tasks).unwrap();
    kept.fill(filling, |held| held.put(object("n/a", version, ""))).unwrap();
    kept.whole(filling, version, (Instant::now(), kept.floor()));
    (kept, filling)
}

fn change(kept: &KeptKind, filling: FillingNumber, version: u64) {
    kept.fill(filling, |held| held.change(version)).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kind_is_filled_when_it_is_asked_for_twice_in_a_minute() {
    let (kept, tasks) = (KeptKind::new(resource("", "pods")), Tasks::default());
    for pause in [0, 61, 61] {
        advance(Duration::from_secs(pause)).await;
        assert!(kept.asked(&tasks).is_none());
    }
    advance(Duration::from_secs(59)).await;
    let (filling, _) = kept.asked(&tasks).unwrap();
    assert!(kept.is_open() && !kept.is_fresh() && kept.look(|_| ()).is_none(), "it is not whole");
    assert!(kept.asked(&tasks).is_none(), "it is being filled");
    kept.close(filling, Duration::from_secs(60));
    for pause in [0, 59] {
        advance(Duration::from_secs(pause)).await;
        assert!(kept.asked(&tasks).is_none(), "not before the pause is over");
    }
    advance(Duration::from_secs(1)).await;
    assert!(kept.asked(&tasks).is_none() && kept.asked(&tasks).is_some());
}

#[tokio::test(start_paused = true)]
async fn memory_is_as_old_as_its_proof() {
    let (kept, filling) = whole(5);
    let age = |kept: &KeptKind| kept.look(|_| ()).unwrap().proof.elapsed();
    assert!(kept.is_fresh());
    advance(Duration::from_millis(999)).await;
    assert!(kept.is_fresh() && age(&kept) == Duration::from_millis(999));
    advance(Duration::from_millis(1)).await;
    assert!(!kept.is_fresh());
    kept.proven(filling, Instant::now());
    advance(Duration::from_millis(10)).await;
    kept.proven(filling, Instant::now().checked_sub(Duration::from_millis(500)).unwrap());
    assert_eq!(age(&kept), Duration::from_millis(10), "a later proof counts");
    kept.proven(filling + 1, Instant::now());
    assert_eq!(age(&kept), Duration::from_millis(10), "another filling proves nothing");
    // After a write without a version.
    kept.wrote(None);
    assert!(!kept.is_fresh());
    advance(AFTER_WRITE).await;
    kept.proven(filling, Instant::now());
    assert!(kept.is_fresh());
}

#[tokio::test(start_paused = true)]
async fn readers_wait_for_what_was_written() {
    let (kept, filling) = whole(5);
    assert!(kept.reaches(0).await && kept.reaches(5).await);
    assert!(!kept.reaches(6).await, "not in time");
    let ((), reached) = tokio::join!(async { change(&kept, filling, 6) }, kept.reaches(6));
    assert!(reached);
    kept.wrote(Some(8));
    kept.wrote(Some(7));
    assert!(!kept.reaches(0).await);
    change(&kept, filling, 8);
    assert!(kept.reaches(0).await);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_a_lower_version_is_another_history() {
    let (kept, filling) = whole(5);
    kept.wrote(Some(9));
    let floor = kept.floor();
    assert!(kept.empty(filling) > 0);
    kept.wrote(Some(10));
    kept.whole(filling, 7, (Instant::now(), floor));
    assert!(!kept.reaches(0).await, "what was written since the list began still counts");
    let floor = kept.floor();
    kept.whole(filling, 7, (Instant::now(), floor));
    assert!(kept.reaches(0).await);
}

#[tokio::test(start_paused = true)]
async fn what_was_cleared_is_not_filled_any_more() {
    let (kept, filling) = whole(5);
    assert!(kept.clear() > 0);
    assert_eq!((kept.weight(), kept.is_open()), (0, false));
    assert!(kept.fill(filling, |held| held.change(6)).is_none());
    kept.whole(filling, 6, (Instant::now(), 0));
    assert_eq!(kept.close(filling, Duration::ZERO), 0);
    assert!(kept.look(|_| ()).is_none());
    let tasks = Tasks::default();
    assert!(kept.asked(&tasks).is_none());
    let (again, _) = kept.asked(&tasks).unwrap();
    assert!(kept.fill(filling, |held| held.change(6)).is_none(), "the old filling fills nothing");
    assert!(kept.fill(again, |held| held.change(6)).is_some());
}

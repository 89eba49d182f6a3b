//! Looks at the contract namespace, and what is doubted after them.

use super::*;

fn there(uid: &str) -> Sight {
    Sight::There { uid: uid.to_owned(), ends: false }
}

/// What is doubted after these looks.
fn after(looks: &[Sight]) -> Option<Why> {
    let mut known = Known::default();
    for sight in looks {
        known.take_in(sight);
    }
    known.doubt().map(|doubt| doubt.why)
}

#[test]
fn only_a_namespace_that_shows_itself_is_the_same() {
    let ends = Sight::There { uid: "a".to_owned(), ends: true };
    let table: [(&[Sight], Option<Why>); 10] = [
        (&[there("a"), there("a")], None),
        (&[there("a"), there("b")], Some(Why::MadeAnew)),
        (&[there("a"), Sight::Gone], Some(Why::Gone)),
        (&[there("a"), Sight::Denied], Some(Why::Hidden)),
        (&[there("a"), Sight::Unanswered], Some(Why::Unanswered)),
        (&[ends], Some(Why::Ends)),
        (&[Sight::Unanswered], Some(Why::Unanswered)),
        (&[Sight::Gone], Some(Why::Gone)),
        (&[Sight::Denied], None),
        (&[Sight::Unanswered, there("a")], None),
    ];
    for (looks, expected) in table {
        assert_eq!(after(looks), expected, "{looks:?}");
    }
}

#[test]
fn another_session_and_a_look_that_failed_forget_nothing() {
    let (former, next) = (Contract::default(), Contract::default());
    former.0.lock().take_in(&there("a"));
    next.inherit(&former);
    assert_eq!(next.0.lock().now, None, "who owns copies is asked of this provider");
    next.0.lock().take_in(&Sight::Unanswered);
    next.0.lock().take_in(&there("b"));
    assert_eq!(next.0.lock().doubt().map(|doubt| doubt.why), Some(Why::MadeAnew));
}

#[test]
fn what_was_bound_before_is_expected_once_and_another_is_accepted_for_good() {
    for looks_first in [true, false] {
        let mut known = Known::default();
        if looks_first {
            known.take_in(&there("new"));
        }
        known.expect("old");
        known.take_in(&there("new"));
        assert_eq!(known.doubt().map(|doubt| doubt.why), Some(Why::MadeAnew), "{looks_first}");
        assert_eq!(known.settled(), None);
        known.accept();
        // Another bundle has not heard of it.
        known.expect("old");
        known.take_in(&there("new"));
        assert_eq!((known.doubt().map(|doubt| doubt.why), known.settled()), (None, Some("new".to_owned())));
    }
}

#[test]
fn the_time_does_not_count_while_the_provider_is_silent() {
    let mut known = Known::default();
    known.take_in(&there("a"));
    known.take_in(&Sight::Unanswered);
    std::thread::sleep(Duration::from_millis(20));
    known.take_in(&Sight::Gone);
    assert!(known.doubt().unwrap().since < Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(20));
    known.take_in(&there("b"));
    assert!(known.doubt().unwrap().since >= Duration::from_millis(20));
}

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
    let table: [(&[Sight], Option<Why>); 9] = [
        (&[there("a"), there("a")], None),
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
fn what_was_found_stays_known_while_nobody_answers() {
    let mut known = Known::default();
    let table = [
        (Sight::Unanswered, Found::NotYet),
        (there("a"), Found::Uid("a".to_owned())),
        (Sight::Unanswered, Found::Uid("a".to_owned())),
        (Sight::Denied, Found::Hidden),
        (Sight::Gone, Found::Gone),
        (there("b"), Found::Uid("b".to_owned())),
    ];
    for (sight, found) in table {
        known.take_in(&sight);
        assert_eq!(known.found, found, "{sight:?}");
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
    known.take_in(&Sight::Denied);
    assert!(known.doubt().unwrap().since >= Duration::from_millis(20));
}

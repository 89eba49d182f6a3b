//! Looks at the contract namespace, and what is doubted after them.

use super::*;

fn there(uid: &str) -> ContractSight {
    ContractSight::There { uid: uid.to_owned(), is_terminating: false }
}

/// The doubt after these looks.
fn after(looks: &[ContractSight]) -> Option<DoubtReason> {
    let mut known = KnownContract::default();
    for sight in looks {
        known.take_in(sight);
    }
    known.doubt().map(|doubt| doubt.why)
}

#[test]
fn only_a_namespace_that_shows_itself_is_the_same() {
    let terminating = ContractSight::There { uid: "a".to_owned(), is_terminating: true };
    let table: [(&[ContractSight], Option<DoubtReason>); 9] = [
        (&[there("a"), there("a")], None),
        (&[there("a"), ContractSight::Gone], Some(DoubtReason::Gone)),
        (&[there("a"), ContractSight::Denied], Some(DoubtReason::Hidden)),
        (&[there("a"), ContractSight::Unanswered], Some(DoubtReason::Unanswered)),
        (&[terminating], Some(DoubtReason::Terminating)),
        (&[ContractSight::Unanswered], Some(DoubtReason::Unanswered)),
        (&[ContractSight::Gone], Some(DoubtReason::Gone)),
        (&[ContractSight::Denied], None),
        (&[ContractSight::Unanswered, there("a")], None),
    ];
    for (looks, expected) in table {
        assert_eq!(after(looks), expected, "{looks:?}");
    }
}

#[test]
fn what_was_found_stays_known_while_nobody_answers() {
    let mut known = KnownContract::default();
    let table = [
        (ContractSight::Unanswered, FoundContract::NotYet),
        (there("a"), FoundContract::Uid("a".to_owned())),
        (ContractSight::Unanswered, FoundContract::Uid("a".to_owned())),
        (ContractSight::Denied, FoundContract::Hidden),
        (ContractSight::Gone, FoundContract::Gone),
        (there("b"), FoundContract::Uid("b".to_owned())),
    ];
    for (sight, found) in table {
        known.take_in(&sight);
        assert_eq!(known.found, found, "{sight:?}");
    }
}

#[test]
fn the_time_does_not_count_while_the_provider_is_silent() {
    let mut known = KnownContract::default();
    known.take_in(&there("a"));
    known.take_in(&ContractSight::Unanswered);
    std::thread::sleep(Duration::from_millis(20));
    known.take_in(&ContractSight::Gone);
    assert!(known.doubt().unwrap().since < Duration::from_millis(20));
    std::thread::sleep(Duration::from_millis(20));
    known.take_in(&ContractSight::Denied);
    assert!(known.doubt().unwrap().since >= Duration::from_millis(20));
}

//! The last origins that went and take their copies with them. A request whose answer was lost may be
//! carried out after its object has gone; the copy that it made is known by its place and by the uid it carries.

use std::collections::{HashSet, VecDeque};

use super::key::ObjectKey;

/// How many are remembered. A lost answer is made good within seconds.
const MOST: usize = 4096;

/// Origins by place and uid, the oldest of which are forgotten. What somebody has made elsewhere with the same marks
/// is none of ours.
#[derive(Debug, Default)]
pub(super) struct Departed {
    order: VecDeque<Gone>,
    all: HashSet<Gone>,
}

type Gone = (ObjectKey, Box<str>);

impl Departed {
    pub(super) fn remember(&mut self, place: &ObjectKey, uid: &str) {
        let gone: Gone = (place.clone(), uid.into());
        if !self.all.insert(gone.clone()) {
            return;
        }
        self.order.push_back(gone);
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, place: &ObjectKey, uid: &str) -> bool {
        self.all.contains(&(place.clone(), uid.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut departed = Departed::default();
        let place = |name: &str| ObjectKey { namespace: "west".to_owned(), name: name.to_owned() };
        for number in 0..=MOST {
            departed.remember(&place("billy"), &number.to_string());
            departed.remember(&place("billy"), &number.to_string());
        }
        let knows = |name: &str, number: usize| departed.contains(&place(name), &number.to_string());
        assert!(!knows("billy", 0) && knows("billy", 1) && knows("billy", MOST));
        assert!(!knows("child", 1), "another object with the marks of the one that went");
    }
}

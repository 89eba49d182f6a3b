//! The last origins that went and take their copies with them. A request whose answer was lost may be
//! carried out after its object has gone; the copy that it made is known by the uid it carries.

use std::collections::{HashSet, VecDeque};

/// How many are remembered. A lost answer is made good within seconds.
const MOST: usize = 4096;

/// Uids, the oldest of which are forgotten.
#[derive(Debug, Default)]
pub(super) struct Departed {
    order: VecDeque<Box<str>>,
    uids: HashSet<Box<str>>,
}

impl Departed {
    pub(super) fn remember(&mut self, uid: &str) {
        if !self.uids.insert(uid.into()) {
            return;
        }
        self.order.push_back(uid.into());
        if self.order.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.uids.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, uid: &str) -> bool {
        self.uids.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut departed = Departed::default();
        for number in 0..=MOST {
            departed.remember(&number.to_string());
            departed.remember(&number.to_string());
        }
        assert!(!departed.contains("0") && departed.contains("1") && departed.contains(&MOST.to_string()));
    }
}

//! The body of one schema of a provider at a time is in memory. Who does not get the turn does not wait for it, since
//! a provider may be slow, but is called when it is free.

use std::collections::VecDeque;

use parking_lot::Mutex;
use portolan_runtime::queue::WorkQueue;

/// The turn to read a schema of one provider.
#[derive(Default)]
pub struct ReadTurns(Mutex<TurnQueue>);

#[derive(Default)]
struct TurnQueue {
    is_taken: bool,
    /// Bindings that have asked for the turn.
    waiting: VecDeque<String>,
}

/// Held by whoever has a body in memory.
pub struct ReadTurn<'a> {
    reading: &'a ReadTurns,
    queue: &'a WorkQueue<String>,
}

impl ReadTurns {
    /// The turn of a binding. If somebody else has it, the binding is queued when it is given back.
    pub fn take<'a>(&'a self, binding: &str, queue: &'a WorkQueue<String>) -> Option<ReadTurn<'a>> {
        let mut turns = self.0.lock();
        if turns.is_taken {
            if !turns.waiting.iter().any(|waiting| waiting == binding) {
                turns.waiting.push_back(binding.to_owned());
            }
            return None;
        }
        turns.is_taken = true;
        turns.waiting.retain(|waiting| waiting != binding);
        Some(ReadTurn { reading: self, queue })
    }
}

impl Drop for ReadTurn<'_> {
    fn drop(&mut self) {
        let next = {
            let mut turns = self.reading.0.lock();
            turns.is_taken = false;
            turns.waiting.pop_front()
        };
        if let Some(next) = next {
            self.queue.add(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_get_the_turn_is_called_when_it_is_free() {
        let (reading, queue) = (ReadTurns::default(), WorkQueue::default());
        let first = reading.take("a", &queue);
        assert!(
            first.is_some() && reading.take("b", &queue).is_none() && reading.take("b", &queue).is_none()
        );
        assert_eq!(queue.depth(), 0);
        drop(first);
        assert_eq!(queue.depth(), 1, "b is called, once");
        let second = reading.take("b", &queue);
        assert!(second.is_some());
        drop(second);
        assert_eq!(queue.depth(), 1, "nobody else has asked");
        assert!(reading.take("c", &queue).is_some());
    }
}

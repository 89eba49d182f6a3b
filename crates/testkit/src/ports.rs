//! Free ports on loopback.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use parking_lot::Mutex;

/// Below the range from which the kernel takes the local ports of outgoing connections: a server that is
/// stopped and started again finds its port still free.
const FIRST: u16 = 12_000;
const COUNT: u16 = 20_000;

static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// A port of 127.0.0.1 that nobody listens on, and that this process has not given out before.
pub fn free_port() -> Result<u16> {
    let random = RandomState::new();
    for attempt in 0..1_000_u32 {
        let offset = random.hash_one(attempt) % u64::from(COUNT);
        let port = FIRST + u16::try_from(offset)?;
        let fresh = GIVEN.lock().get_or_insert_default().insert(port);
        if fresh && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between {FIRST} and {}", FIRST + COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_out_once() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }
}

//! Several addresses of one host: each gets a start of its own, so that a silent one holds up nobody (RFC 8305).

use std::{future::Future, net::SocketAddr, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::time::sleep;

/// Head start of an attempt before the next one.
const HEAD_START: Duration = Duration::from_millis(250);
/// Limit on the addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;

/// The first attempt that succeeds, or all failures. The next one begins when one fails, or has had its head start.
pub(super) async fn race<T, E, F>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<E>>
where
    F: Future<Output = Result<T, E>>,
{
    let mut failures = Vec::new();
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    loop {
        let more = match waiting.next() {
            Some(address) => {
                running.push(attempt(address));
                true
            }
            None if running.is_empty() => return Err(failures),
            None => false,
        };
        // The attempts go on while nothing is left to begin.
        while let Some(result) = tokio::select! {
            result = running.next() => result,
            () = sleep(HEAD_START), if more => None,
        } {
            match result {
                Ok(won) => return Ok(won),
                Err(error) => failures.push(error),
            }
            if more {
                break;
            }
        }
    }
}

/// The families in turns, as the resolver prefers the first: one that is broken is left with the second address. No
/// more than are tried: a family with many addresses leaves room for the other.
pub(super) fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (same, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let length = same.len().max(other.len());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    (0..length).flat_map(|_| [same.next(), other.next()]).flatten().take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Port 1 stays silent, 2 refuses, 3 answers after 100 ms and 4 after 1 s.
    async fn attempt(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => return Err(io::ErrorKind::ConnectionRefused.into()),
            3 => sleep(Duration::from_millis(100)).await,
            _ => sleep(Duration::from_secs(1)).await,
        }
        Ok(address.port())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_costs_a_quarter_of_a_second_and_a_refusal_nothing() {
        let table: [(&[u16], Option<u16>, u64); 8] = [
            (&[3], Some(3), 100),
            (&[1, 3], Some(3), 350),
            (&[2, 3], Some(3), 100),
            (&[1, 1, 1, 3], Some(3), 850),
            (&[4, 3], Some(3), 350),
            (&[4, 2], Some(4), 1000),
            (&[2, 2, 2], None, 0),
            (&[], None, 0),
        ];
        for (ports, winner, millis) in table {
            let begin = Instant::now();
            let addresses = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
            assert_eq!(race(addresses, attempt).await.ok(), winner, "{ports:?}");
            let took = u64::try_from(begin.elapsed().as_millis()).unwrap();
            assert!((millis..millis + 5).contains(&took), "{ports:?} took {took} ms");
        }
    }

    #[test]
    fn families_take_turns() {
        let mixed = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"]);
        let expected = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"]);
        assert_eq!(in_turns(mixed), expected);
        let many = (0..20_u16).map(|last| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last], 1)));
        let tried = in_turns(many.chain(addresses(&["1.1.1.1:1"])).collect());
        assert_eq!((tried.len(), tried[1].is_ipv4()), (MAX_ADDRESSES, true), "one family hides the other");
        assert_eq!(in_turns(Vec::new()), Vec::new());
    }
}

//! The policy for addresses that may be connected to.
//!
//! Public addresses may, private ones where the operator listed the host. Loopback, link-local and metadata
//! addresses and our own API server may only when they are named one by one.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// The rules for addresses.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    /// `true` if private addresses are allowed, because an operator and not a user chose the host.
    pub private: bool,
    /// Addresses that are allowed whatever they are.
    pub named: Vec<NamedAddress>,
    /// Networks that are allowed but for our own API server.
    pub networks: Vec<Network>,
    /// Addresses of the API server of our own cluster.
    pub own_api_server: Vec<SocketAddr>,
}

/// A network in the notation of CIDR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// An address that was named: with a port for that one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedAddress {
    /// Every port of an address.
    Address(IpAddr),
    /// One port of it.
    Socket(SocketAddr),
    /// Every address, for a person's own command, where that person chose the URL.
    Anything,
}

/// An address that is not allowed, and what it is. It does not say the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {0} address is refused unless the configuration names it")]
pub struct ForbiddenAddress(pub AddressKind);

/// The classes of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressKind {
    /// Anybody's.
    Public,
    /// Of a private network.
    Private,
    /// Of this machine.
    Loopback,
    /// Of this link.
    LinkLocal,
    /// An address at which a cloud gives machines their secrets.
    Metadata,
    /// Of our own API server.
    OwnApiServer,
    /// Multicast, broadcast, documentation and the like.
    Special,
}

impl fmt::Display for AddressKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::OwnApiServer => "own API server's",
            Self::Special => "special",
        })
    }
}

impl AddressPolicy {
    /// Checks an address against the policy.
    ///
    /// # Errors
    /// The kind of an address that the policy forbids.
    pub fn check(&self, address: SocketAddr) -> Result<(), ForbiddenAddress> {
        let address = SocketAddr::new(embedded(address.ip()), address.port());
        if self.named.iter().any(|named| named.covers(address)) {
            return Ok(());
        }
        let own = |own: &SocketAddr| SocketAddr::new(embedded(own.ip()), own.port()) == address;
        match kind(address.ip()) {
            _ if self.own_api_server.iter().any(own) => Err(ForbiddenAddress(AddressKind::OwnApiServer)),
            _ if self.networks.iter().any(|network| network.contains(address.ip())) => Ok(()),
            AddressKind::Public => Ok(()),
            AddressKind::Private if self.private => Ok(()),
            other => Err(ForbiddenAddress(other)),
        }
    }
}

impl NamedAddress {
    fn covers(self, address: SocketAddr) -> bool {
        match self {
            Self::Address(named) => embedded(named) == address.ip(),
            Self::Socket(named) => embedded(named.ip()) == address.ip() && named.port() == address.port(),
            Self::Anything => true,
        }
    }
}

impl Network {
    /// Returns `true` if an address is in the network.
    pub fn contains(self, address: IpAddr) -> bool {
        let differs = match (self.address, embedded(address)) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() < u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).leading_zeros() < u32::from(self.bits)
            }
            _ => true,
        };
        !differs
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (address, bits) = text.split_once('/')?;
            let (address, bits): (IpAddr, u8) = (address.parse().ok()?, bits.parse().ok()?);
            let most = if address.is_ipv4() { 32 } else { 128 };
            (bits <= most).then_some(Self { address, bits })
        };
        read().ok_or_else(|| format!("{text:?} is not a network such as 10.0.0.0/8 or fd00::/8"))
    }
}

impl FromStr for NamedAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse().map(Self::Address);
        address.or_else(|_| text.parse().map(Self::Socket)).map_err(|_| {
            format!("{text:?} is not an address such as 10.0.0.1, 10.0.0.1:6443 or [fd00::1]:6443")
        })
    }
}

/// Classifies an address, once what it embeds is taken out.
pub fn kind(address: IpAddr) -> AddressKind {
    match embedded(address) {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127 | 0, ..) => AddressKind::Loopback,
        // AWS, GCP, Azure and others; Alibaba; Azure's wire server; Oracle.
        _ if METADATA_V4.contains(&address) => AddressKind::Metadata,
        (169, 254, _) => AddressKind::LinkLocal,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => AddressKind::Private,
        (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (224.., ..) => {
            AddressKind::Special
        }
        _ => AddressKind::Public,
    }
}

const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    let first = address.segments()[0];
    if address == METADATA_V6 {
        return AddressKind::Metadata;
    }
    match first {
        _ if address.is_loopback() || address.is_unspecified() => AddressKind::Loopback,
        0xfe80..=0xfebf => AddressKind::LinkLocal,
        0xfc00..=0xfdff | 0xfec0..=0xfeff => AddressKind::Private,
        0x2001 if address.segments()[1] == 0xdb8 => AddressKind::Special,
        0x2000..=0x3fff => AddressKind::Public,
        _ => AddressKind::Special,
    }
}

/// The IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4), or the address itself.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let (high, low) = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => (high, low),
        _ => return address,
    };
    IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_what_they_are_in_every_spelling() {
        let table = [
            ("8.8.8.8", AddressKind::Public),
            ("2606:4700::1111", AddressKind::Public),
            ("10.1.2.3", AddressKind::Private),
            ("172.16.0.1", AddressKind::Private),
            ("172.32.0.1", AddressKind::Public),
            ("192.168.1.1", AddressKind::Private),
            ("100.64.0.1", AddressKind::Private),
            ("fd12::1", AddressKind::Private),
            ("127.0.0.1", AddressKind::Loopback),
            ("127.9.9.9", AddressKind::Loopback),
            ("0.0.0.0", AddressKind::Loopback),
            ("::1", AddressKind::Loopback),
            ("::", AddressKind::Loopback),
            ("::ffff:127.0.0.1", AddressKind::Loopback),
            ("64:ff9b::7f00:1", AddressKind::Loopback),
            ("2002:7f00:1::", AddressKind::Loopback),
            ("::127.0.0.1", AddressKind::Loopback),
            ("169.254.1.1", AddressKind::LinkLocal),
            ("fe80::1", AddressKind::LinkLocal),
            ("169.254.169.254", AddressKind::Metadata),
            ("::ffff:169.254.169.254", AddressKind::Metadata),
            ("fd00:ec2::254", AddressKind::Metadata),
            ("100.100.100.200", AddressKind::Metadata),
            ("168.63.129.16", AddressKind::Metadata),
            ("224.0.0.1", AddressKind::Special),
            ("255.255.255.255", AddressKind::Special),
            ("ff02::1", AddressKind::Special),
        ];
        for (text, expected) in table {
            assert_eq!(kind(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_named_is_allowed_and_nothing_next_to_it() {
        let mut policy = AddressPolicy { private: true, ..AddressPolicy::default() };
        policy.own_api_server = vec!["10.96.0.1:443".parse().unwrap()];
        let allowed = |policy: &AddressPolicy, text: &str| policy.check(text.parse().unwrap()).is_ok();
        assert!(allowed(&policy, "10.0.0.1:443") && allowed(&policy, "8.8.8.8:443"));
        assert!(!allowed(&policy, "127.0.0.1:6443") && !allowed(&policy, "10.96.0.1:443"));
        assert!(allowed(&policy, "10.96.0.1:444"), "another port is another server");
        policy.named = vec!["127.0.0.1:6443".parse().unwrap(), "10.96.0.1".parse().unwrap()];
        assert!(allowed(&policy, "127.0.0.1:6443") && allowed(&policy, "[::ffff:127.0.0.1]:6443"));
        assert!(!allowed(&policy, "127.0.0.1:6444") && !allowed(&policy, "127.0.0.2:6443"));
        assert!(allowed(&policy, "10.96.0.1:443"));
        policy.private = false;
        assert!(!allowed(&policy, "10.0.0.1:443") && allowed(&policy, "8.8.8.8:443"));
        assert!("localhost".parse::<NamedAddress>().is_err());
    }

    #[test]
    fn a_network_is_allowed_without_our_own_api_server_in_it() {
        let networks = vec!["10.96.0.0/12".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let own_api_server = vec!["10.96.0.1:443".parse().unwrap()];
        let policy = AddressPolicy { networks, own_api_server, ..AddressPolicy::default() };
        for (text, expected) in [
            ("10.96.0.9:80", true),
            ("10.111.255.255:80", true),
            ("10.112.0.0:80", false),
            ("10.96.0.1:443", false),
            ("10.96.0.1:80", true),
            ("[fd12::1]:80", true),
            ("[::ffff:10.96.0.9]:80", true),
            ("[fe80::1]:80", false),
            ("127.0.0.1:80", false),
        ] {
            assert_eq!(policy.check(text.parse().unwrap()).is_ok(), expected, "{text}");
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "host/8", "10.0.0.0/-1", ""] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()) && !all.contains("2000::1".parse().unwrap()));
    }
}

//! Which addresses may be connected to.
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
    /// Whether private addresses are allowed, because an operator and not a user chose the host.
    pub private: bool,
    /// Addresses that are allowed whatever they are.
    pub named: Vec<Named>,
    /// Where the API server of our own cluster listens.
    pub own_api_server: Vec<SocketAddr>,
}

/// An address that was named: with a port for that one only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// Every port of an address.
    Address(IpAddr),
    /// One port of it.
    Socket(SocketAddr),
    /// Every address, for a person's own command, where that person chose the URL.
    Anything,
}

/// An address that is not allowed, and what it is. It does not say the address itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {0} address is connected to only when it is named in the configuration")]
pub struct Forbidden(pub Kind);

/// What an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anybody's.
    Public,
    /// Of a private network.
    Private,
    /// Of this machine.
    Loopback,
    /// Of this link.
    LinkLocal,
    /// Where a cloud tells machines their secrets.
    Metadata,
    /// Of our own API server.
    OwnApiServer,
    /// Multicast, broadcast, documentation and the like.
    Special,
}

impl fmt::Display for Kind {
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
    /// Whether an address may be connected to.
    ///
    /// # Errors
    /// What the address is.
    pub fn check(&self, address: SocketAddr) -> Result<(), Forbidden> {
        let address = SocketAddr::new(embedded(address.ip()), address.port());
        if self.named.iter().any(|named| named.covers(address)) {
            return Ok(());
        }
        let own = |own: &SocketAddr| SocketAddr::new(embedded(own.ip()), own.port()) == address;
        match kind(address.ip()) {
            _ if self.own_api_server.iter().any(own) => Err(Forbidden(Kind::OwnApiServer)),
            Kind::Public => Ok(()),
            Kind::Private if self.private => Ok(()),
            other => Err(Forbidden(other)),
        }
    }
}

impl Named {
    fn covers(self, address: SocketAddr) -> bool {
        match self {
            Self::Address(named) => embedded(named) == address.ip(),
            Self::Socket(named) => embedded(named.ip()) == address.ip() && named.port() == address.port(),
            Self::Anything => true,
        }
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = text.parse().map(Self::Address);
        address.or_else(|_| text.parse().map(Self::Socket)).map_err(|_| {
            format!("{text:?} is not an address such as 10.0.0.1, 10.0.0.1:6443 or [fd00::1]:6443")
        })
    }
}

/// What an address is, once what it embeds is taken out.
pub fn kind(address: IpAddr) -> Kind {
    match embedded(address) {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> Kind {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (127 | 0, ..) => Kind::Loopback,
        // AWS, GCP, Azure and others; Alibaba; Azure's wire server; Oracle.
        _ if METADATA_V4.contains(&address) => Kind::Metadata,
        (169, 254, _) => Kind::LinkLocal,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Kind::Private,
        (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (224.., ..) => Kind::Special,
        _ => Kind::Public,
    }
}

const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);

fn kind_v6(address: Ipv6Addr) -> Kind {
    let first = address.segments()[0];
    if address == METADATA_V6 {
        return Kind::Metadata;
    }
    match first {
        _ if address.is_loopback() || address.is_unspecified() => Kind::Loopback,
        0xfe80..=0xfebf => Kind::LinkLocal,
        0xfc00..=0xfdff | 0xfec0..=0xfeff => Kind::Private,
        0x2001 if address.segments()[1] == 0xdb8 => Kind::Special,
        0x2000..=0x3fff => Kind::Public,
        _ => Kind::Special,
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
            ("8.8.8.8", Kind::Public),
            ("2606:4700::1111", Kind::Public),
            ("10.1.2.3", Kind::Private),
            ("172.16.0.1", Kind::Private),
            ("172.32.0.1", Kind::Public),
            ("192.168.1.1", Kind::Private),
            ("100.64.0.1", Kind::Private),
            ("fd12::1", Kind::Private),
            ("127.0.0.1", Kind::Loopback),
            ("127.9.9.9", Kind::Loopback),
            ("0.0.0.0", Kind::Loopback),
            ("::1", Kind::Loopback),
            ("::", Kind::Loopback),
            ("::ffff:127.0.0.1", Kind::Loopback),
            ("64:ff9b::7f00:1", Kind::Loopback),
            ("2002:7f00:1::", Kind::Loopback),
            ("::127.0.0.1", Kind::Loopback),
            ("169.254.1.1", Kind::LinkLocal),
            ("fe80::1", Kind::LinkLocal),
            ("169.254.169.254", Kind::Metadata),
            ("::ffff:169.254.169.254", Kind::Metadata),
            ("fd00:ec2::254", Kind::Metadata),
            ("100.100.100.200", Kind::Metadata),
            ("168.63.129.16", Kind::Metadata),
            ("224.0.0.1", Kind::Special),
            ("255.255.255.255", Kind::Special),
            ("ff02::1", Kind::Special),
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
        assert!("localhost".parse::<Named>().is_err());
    }
}

//! Networks that operators allow fetches to.

use std::str::FromStr;

use portolan_runtime::fetch::Network;

/// Networks that fetches may go to besides public ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllowedNetwork {
    /// The networks of the cluster's Services.
    Services,
    Network(Network),
}

impl FromStr for AllowedNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "services" { Ok(Self::Services) } else { text.parse().map(Self::Network) }
    }
}

//! Addresses that fetches may go to, and their limits.

use std::time::Duration;

use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::{Api, Client, api::ListParams};
use portolan_runtime::{
    client,
    fetch::{AddressPolicy, FetchSettings, Network},
    telemetry::ErrorChain,
};
use tracing::warn;

use super::allowed::AllowedNetwork;
use crate::args::ControllerArgs;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The limits of fetches, with the networks as they are now.
pub async fn settings(args: &ControllerArgs, client: &Client) -> FetchSettings {
    let mut networks: Vec<_> = args
        .fetch
        .fetch_allowed_cidrs
        .iter()
        .filter_map(
            |allowed| if let AllowedNetwork::Network(network) = allowed { Some(*network) } else { None },
        )
        .collect();
    if args.fetch.fetch_allowed_cidrs.contains(&AllowedNetwork::Services) {
        networks.extend(of_services(client).await);
    }
    let own_api_server = match client::configuration(&args.client).await {
        Ok(config) => client::addresses(&config).await,
        Err(_) => Vec::new(),
    };
    FetchSettings {
        policy: AddressPolicy { networks, own_api_server, ..AddressPolicy::default() },
        plain_http: true,
        connect_timeout: CONNECT_TIMEOUT.min(args.fetch.fetch_timeout),
        total_timeout: args.fetch.fetch_timeout,
        max_bytes: args.fetch.openapi_spec_max_size,
        ..FetchSettings::default()
    }
}

async fn of_services(client: &Client) -> Vec<Network> {
    let api: Api<ServiceCIDR> = Api::all(client.clone());
    match api.list(&ListParams::default()).await {
        Ok(found) => {
            let texts = found.items.into_iter().filter_map(|object| object.spec?.cidrs).flatten();
            texts.filter_map(|text| text.parse().ok()).collect()
        }
        Err(error) => {
            warn!(
                "the networks of Services are not known, so fetches may not go there: {}",
                ErrorChain(&error)
            );
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_the_word_services_are_read() {
        assert_eq!("services".parse(), Ok(AllowedNetwork::Services));
        assert_eq!("10.0.0.0/8".parse(), "10.0.0.0/8".parse().map(AllowedNetwork::Network));
        assert!("10.0.0.0".parse::<AllowedNetwork>().is_err());
    }
}

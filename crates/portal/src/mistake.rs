//! Flags that make no sense together.

use http::Uri;

use crate::args::{Identity, ServiceArgs};

/// A mistake on the command line, with its cure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagMistake {
    #[error("--oidc-issuer: give --oidc-client-id, the portal's id at the issuer")]
    NoClient,
    #[error("--oidc-client-id and --oidc-client-secret-file: give --oidc-issuer, too")]
    NoIssuer,
    #[error("--oidc-issuer: give --external-url, since the issuer sends browsers back to it")]
    NoUrl,
    #[error("--oidc-issuer: give --session-key-file, since any replica opens the sessions of the others")]
    NoKey,
    #[error("--external-url: http is for loopback only, since cookies and tokens would travel unencrypted")]
    PlainUrl,
    #[error("--oidc-issuer: http is for loopback only, since codes and tokens would travel unencrypted")]
    PlainIssuer,
    #[error("--oidc-issuer: {{tenantid}} is a placeholder; give the issuer of your tenant")]
    Template,
    #[error("--demo-users: give --address=127.0.0.1:PORT, since these people have no passwords")]
    DemoAbroad,
    #[error("--identity=impersonate: give --oidc-issuer, since nobody else is impersonated")]
    NobodyToImpersonate,
    #[error(
        "--username-prefix: it is empty or begins with system:, so users could be taken for those of the cluster"
    )]
    Prefix,
}

impl FlagMistake {
    /// The first mistake, which keeps the portal from starting.
    pub fn of(args: &ServiceArgs) -> Option<Self> {
        let login = &args.login;
        if login.demo_users.is_some() && !args.listen_address().ip().is_loopback() {
            return Some(Self::DemoAbroad);
        }
        if args.external_url.as_deref().is_some_and(is_plain_abroad) {
            return Some(Self::PlainUrl);
        }
        if login.oidc_issuer.is_none() {
            let has_client = login.oidc_client_id.is_some() || login.oidc_client_secret_file.is_some();
            let impersonates = args.session.identity == Identity::Impersonate;
            return match (has_client, impersonates) {
                (true, _) => Some(Self::NoIssuer),
                (false, true) => Some(Self::NobodyToImpersonate),
                (false, false) => None,
            };
        }
        Self::of_issuer(args, login.oidc_issuer.as_deref().unwrap_or_default())
    }

    fn of_issuer(args: &ServiceArgs, issuer: &str) -> Option<Self> {
        let prefix = args.session.username_prefix.as_str();
        let is_bare = prefix.is_empty() || prefix.starts_with("system:");
        let table = [
            (args.login.oidc_client_id.is_none(), Self::NoClient),
            (args.external_url.is_none(), Self::NoUrl),
            (args.session.session_key_files.is_empty(), Self::NoKey),
            (issuer.contains('{'), Self::Template),
            (is_plain_abroad(issuer), Self::PlainIssuer),
            (args.session.identity == Identity::Impersonate && is_bare, Self::Prefix),
        ];
        table.into_iter().find(|(is_so, _)| *is_so).map(|(_, mistake)| mistake)
    }
}

/// Returns `true` if a URL is unencrypted and leaves this machine.
fn is_plain_abroad(url: &str) -> bool {
    url.starts_with("http://") && !url.parse::<Uri>().is_ok_and(|url| is_loopback(url.host()))
}

/// Returns `true` for this machine.
pub fn is_loopback(host: Option<&str>) -> bool {
    let host = host.unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use portolan_runtime::args::parse_from;

    use super::*;
    use crate::args::Args;

    #[test]
    fn flags_that_make_no_sense_are_mistakes() {
        let mistake = |flags: &[&str]| {
            let line = ["portal"].iter().chain(flags).copied();
            FlagMistake::of(&parse_from::<Args>("portal", line).unwrap().service)
        };
        let (issuer, client) = ("--oidc-issuer=https://i", "--oidc-client-id=p");
        let (url, key) = ("--external-url=https://p", "--session-key-file=k");
        let table: [(&[&str], Option<FlagMistake>); 13] = [
            (&[], None),
            (&[issuer, client, url, key], None),
            (&[issuer, url, key], Some(FlagMistake::NoClient)),
            (&[client], Some(FlagMistake::NoIssuer)),
            (&[issuer, client, key], Some(FlagMistake::NoUrl)),
            (&[issuer, client, url], Some(FlagMistake::NoKey)),
            (&["--external-url=http://p"], Some(FlagMistake::PlainUrl)),
            (&["--external-url=http://127.0.0.1:1"], None),
            (&["--oidc-issuer=http://i", client, url, key], Some(FlagMistake::PlainIssuer)),
            (&["--oidc-issuer=https://i/{tenantid}/v2.0", client, url, key], Some(FlagMistake::Template)),
            (&["--demo-users=f"], Some(FlagMistake::DemoAbroad)),
            (&["--demo-users=f", "--address=127.0.0.1:1"], None),
            (&["--identity=impersonate"], Some(FlagMistake::NobodyToImpersonate)),
        ];
        for (flags, expected) in table {
            assert_eq!(mistake(flags), expected, "{flags:?}");
        }
        let impersonate = [issuer, client, url, key, "--identity=impersonate"];
        assert_eq!(mistake(&impersonate), None);
        for prefix in ["--username-prefix=", "--username-prefix=system:x:"] {
            assert_eq!(
                mistake(&[&impersonate[..], &[prefix]].concat()),
                Some(FlagMistake::Prefix),
                "{prefix}"
            );
        }
    }
}

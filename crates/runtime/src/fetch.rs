//! The one way to ask a URL that an object, a token or a configuration chose: bounded in time and bytes, over
//! addresses that a policy allows, with credentials for their own host only.
//!
//! The policy is checked on the address that is connected to, after the name was resolved, so a name that
//! resolves to something else a moment later does not help.

pub mod address;
mod ca_cert;
mod connect;
mod error;
mod race;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use self::connect::{Connector, connector};
pub use self::{
    address::{AddressPolicy, NamedAddress, Network},
    ca_cert::{CaCertError, CaCertFetcher},
    error::FetchError,
};
use crate::capped::{self, CappedError};

const MAX_REDIRECTS: usize = 3;

/// The bounds of a fetcher.
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// Addresses that may be connected to.
    pub policy: AddressPolicy,
    /// PEM certificates of authorities that count besides those that are built in.
    pub extra_authorities: Option<Vec<u8>>,
    /// `true` if the authorities of the machine count, too: for what people start at their own machines.
    pub system_authorities: bool,
    /// `true` if `http://` is allowed at all.
    pub plain_http: bool,
    /// Limit for resolving a name, and for a TCP connection to each of its addresses.
    pub connect_timeout: Duration,
    /// Limit for the whole request.
    pub total_timeout: Duration,
    /// Limit on the bytes of an answer.
    pub max_bytes: usize,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self {
            policy: AddressPolicy::default(),
            extra_authorities: None,
            system_authorities: false,
            plain_http: false,
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(5),
            max_bytes: 1024 * 1024,
        }
    }
}

/// A bearer token that is sent to one origin and to no other.
#[derive(Clone, Debug)]
pub struct FetchCredential {
    origin: UrlOrigin,
    token: SecretString,
}

/// The source of a credential, which may be renewed at any time.
pub type CredentialSource = Arc<dyn Fn() -> Option<FetchCredential> + Send + Sync>;

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlOrigin {
    scheme: String,
    host: String,
    port: u16,
}

impl UrlOrigin {
    /// The origin of an absolute `http` or `https` URL without user information.
    ///
    /// # Errors
    /// When it is no such URL.
    pub fn of(url: &Uri) -> Result<Self, FetchError> {
        let invalid = || FetchError::Url(url.to_string());
        let scheme =
            url.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https")).ok_or_else(invalid)?;
        let authority =
            url.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(invalid)?;
        let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Ok(Self { scheme: scheme.to_owned(), host: authority.host().to_ascii_lowercase(), port })
    }
}

impl FetchCredential {
    /// A token for the host of `url`.
    ///
    /// # Errors
    /// When `url` is no absolute URL.
    pub fn new(url: &Uri, token: SecretString) -> Result<Self, FetchError> {
        Ok(Self { origin: UrlOrigin::of(url)?, token })
    }

    /// Returns `true` if the token is sent to a URL.
    pub fn is_for(&self, url: &Uri) -> bool {
        UrlOrigin::of(url).is_ok_and(|origin| origin == self.origin)
    }
}

/// An answer that was read to its end.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Sends requests within its bounds. Connections are kept for a while.
///
/// # Examples
///
/// ```no_run
/// use portolan_runtime::fetch::{FetchError, FetchSettings, Fetcher};
///
/// async fn fetch(url: &http::Uri) -> Result<bool, FetchError> {
///     let fetcher = Fetcher::new(&FetchSettings::default())?;
///     Ok(fetcher.get(url, None).await?.status.is_success())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client<Connector, Full<Bytes>>,
    plain_http: bool,
    total_timeout: Duration,
    max_bytes: usize,
}

impl Fetcher {
    /// A fetcher with its own connections.
    ///
    /// # Errors
    /// When the extra authorities are not PEM certificates.
    pub fn new(settings: &FetchSettings) -> Result<Self, FetchError> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(32)
            .build(connector(settings)?);
        let FetchSettings { plain_http, total_timeout, max_bytes, .. } = *settings;
        Ok(Self { client, plain_http, total_timeout, max_bytes })
    }

    /// Reads a URL. A redirect is followed on the same origin only.
    ///
    /// # Errors
    /// See [`FetchError`]. A status that is no success is no error.
    pub async fn get(&self, url: &Uri, credential: Option<&FetchCredential>) -> Result<Fetched, FetchError> {
        timeout(self.total_timeout, self.follow(url, credential))
            .await
            .map_err(|_| FetchError::TotalTimeout)?
    }

    /// Sends JSON. No redirect is followed.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post_json(
        &self,
        url: &Uri,
        body: Vec<u8>,
        credential: Option<&FetchCredential>,
    ) -> Result<Fetched, FetchError> {
        let mut request = self.request(Method::POST, url, credential)?.map(|_| Full::new(Bytes::from(body)));
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        timeout(self.total_timeout, self.exchange(request)).await.map_err(|_| FetchError::TotalTimeout)?
    }

    /// Sends a body with these headers, the type of the body among them. No redirect is followed.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post(&self, url: &Uri, headers: HeaderMap, body: Vec<u8>) -> Result<Fetched, FetchError> {
        let mut request = self.request(Method::POST, url, None)?.map(|_| Full::new(Bytes::from(body)));
        request.headers_mut().extend(headers);
        timeout(self.total_timeout, self.exchange(request)).await.map_err(|_| FetchError::TotalTimeout)?
    }

    /// Sends a request with exactly these headers, and keeps the beginning of the answer; `true` if there is more. No
    /// redirect is followed.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn send(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<(Fetched, bool), FetchError> {
        let mut request = self.request(method, url, None)?.map(|_| Full::new(Bytes::from(body)));
        request.headers_mut().extend(headers);
        let sent = async {
            let response = self.client.request(request).await.map_err(error::of_client)?;
            let (parts, body) = response.into_parts();
            let (body, is_cut) = capped::beginning(body, self.max_bytes).await.map_err(FetchError::Body)?;
            Ok((Fetched { status: parts.status, headers: parts.headers, body }, is_cut))
        };
        timeout(self.total_timeout, sent).await.map_err(|_| FetchError::TotalTimeout)?
    }

    async fn follow(&self, url: &Uri, credential: Option<&FetchCredential>) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let request = self.request(Method::GET, &url, credential)?;
            let fetched = self.exchange(request).await?;
            if !fetched.status.is_redirection() {
                return Ok(fetched);
            }
            url = redirected(&url, &fetched.headers)?;
        }
        Err(FetchError::TooManyRedirects)
    }

    fn request(
        &self,
        method: Method,
        url: &Uri,
        credential: Option<&FetchCredential>,
    ) -> Result<Request<Full<Bytes>>, FetchError> {
        let origin = UrlOrigin::of(url)?;
        if origin.scheme == "http" && !self.plain_http {
            return Err(FetchError::PlainHttp);
        }
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = url.clone();
        let headers = request.headers_mut();
        // API servers serve their keys as nothing but the second.
        headers
            .insert(header::ACCEPT, HeaderValue::from_static("application/json, application/jwk-set+json"));
        // Without it, a server may compress as it likes.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("portolan/", env!("CARGO_PKG_VERSION"))),
        );
        if let Some(credential) = credential.filter(|credential| credential.origin == origin) {
            let text = format!("Bearer {}", credential.token.expose_secret().trim());
            let mut value = HeaderValue::try_from(text).map_err(|_| FetchError::Credential)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Fetched, FetchError> {
        let response = self.client.request(request).await.map_err(error::of_client)?;
        self.read(response).await
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Fetched, FetchError> {
        let (parts, body) = response.into_parts();
        if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
            return Err(FetchError::Compressed);
        }
        let body = capped::read(body, self.max_bytes).await.map_err(|error| match error {
            CappedError::TooLarge => FetchError::TooLarge(self.max_bytes),
            CappedError::Broken(error) => FetchError::Body(error),
        })?;
        Ok(Fetched { status: parts.status, headers: parts.headers, body })
    }
}

fn redirected(from: &Uri, headers: &HeaderMap) -> Result<Uri, FetchError> {
    let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or(FetchError::ForeignRedirect)?;
    let relative = location.starts_with('/') && !location.starts_with("//");
    let absolute = match (relative, from.scheme_str(), from.authority()) {
        (true, Some(scheme), Some(authority)) => format!("{scheme}://{authority}{location}"),
        _ => location.to_owned(),
    };
    let to: Uri = absolute.parse().map_err(|_| FetchError::ForeignRedirect)?;
    if UrlOrigin::of(&to)? == UrlOrigin::of(from)? { Ok(to) } else { Err(FetchError::ForeignRedirect) }
}

#[cfg(test)]
mod namespace;
#[cfg(test)]
mod tests;

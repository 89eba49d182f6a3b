//! The issuer that people log in at: authorization code with PKCE, refresh, and revocation.

use std::{path::PathBuf, sync::Arc, time::Duration};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use jiff::SignedDuration;
use moka::future::Cache;
use portolan_core::{
    auth::{TokenClaims, TokenRefusal, UnverifiedToken, compact::MAX_TOKEN_BYTES, keys::TokenRules},
    text::{differing, quoted},
};
use portolan_runtime::{
    clock,
    fetch::{AddressPolicy, FetchError, FetchSettings, Fetcher, NamedAddress},
    jwks::{Jwks, KeyFreshness, KeySource},
    tasks::Tasks,
    telemetry::ErrorChain,
};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    open::{IssuerTokens, claims},
    renewals::TokenRenewals,
};
use crate::args::ServiceArgs;

const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Lifetime of the discovery document.
const KNOWN_FOR: Duration = Duration::from_secs(600);
/// For clocks that differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// An issuer, as the portal's flags name it.
pub struct OidcIssuer {
    pub issuer: String,
    client_id: String,
    secret_file: Option<PathBuf>,
    scopes: String,
    redirect_uri: String,
    fetcher: Fetcher,
    keys: Arc<Jwks>,
    known: Cache<(), Arc<DiscoveryDocument>>,
    renewals: TokenRenewals,
}

/// The discovery document of the issuer.
#[derive(Clone, Debug, Deserialize)]
pub struct DiscoveryDocument {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// The proof that a browser must bring back from the issuer.
pub struct LoginProof {
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

/// A login that does not work out.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    #[error("the issuer does not answer: {0}")]
    Silent(String),
    #[error("the issuer's discovery document has another issuer: {0}; give --oidc-issuer as it names itself")]
    OtherIssuer(String),
    #[error("the issuer's discovery document cannot be used: {0}")]
    Discovery(String),
    #[error("the issuer refused: {0}")]
    Refused(String),
    #[error("the ID token is refused: {0}")]
    Token(String),
    #[error("your token is {0} bytes: fewer groups or other claims make it short enough for cookies")]
    TooLong(usize),
    #[error("the answer came from another issuer")]
    Foreign,
}

impl OidcError {
    /// Returns `true` if the issuer has said nothing about what it was asked.
    pub const fn is_silence(&self) -> bool {
        matches!(self, Self::Silent(_) | Self::Discovery(_))
    }
}

impl From<FetchError> for OidcError {
    fn from(error: FetchError) -> Self {
        Self::Silent(ErrorChain(&error).to_string())
    }
}

impl OidcIssuer {
    /// The issuer of the flags, whose keys are kept fresh from now on.
    pub fn start(
        args: &ServiceArgs,
        authorities: Option<Vec<u8>>,
        tasks: &Tasks,
    ) -> Result<Self, FetchError> {
        let login = &args.login;
        let issuer = login.oidc_issuer.clone().unwrap_or_default();
        let fetcher = Fetcher::new(&FetchSettings {
            // The operator has chosen the issuer, wherever it is.
            policy: AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() },
            plain_http: issuer.starts_with("http://"),
            extra_authorities: authorities,
            ..FetchSettings::default()
        })?;
        let source = KeySource {
            issuers: vec![issuer.clone()],
            api_server: None,
            jwks_uri: None,
            credential: Arc::new(|| None),
            fetcher: fetcher.clone(),
        };
        Ok(Self {
            client_id: login.oidc_client_id.clone().unwrap_or_default(),
            secret_file: login.oidc_client_secret_file.clone(),
            scopes: login.oidc_scopes.join(" "),
            redirect_uri: format!("{}/callback", args.external_url.as_deref().unwrap_or_default()),
            keys: Jwks::start(tasks, source, KeyFreshness::default()),
            known: Cache::builder().max_capacity(1).time_to_live(KNOWN_FOR).build(),
            renewals: TokenRenewals::new(tasks),
            issuer,
            fetcher,
        })
    }

    /// The discovery document.
    pub async fn discovery(&self) -> Result<Arc<DiscoveryDocument>, OidcError> {
        if let Some(known) = self.known.get(&()).await {
            return Ok(known);
        }
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let url = uri(&format!("{base}{DISCOVERY}"))?;
        let fetched = self.fetcher.get(&url, None).await?;
        if fetched.status != StatusCode::OK {
            return Err(OidcError::Discovery(format!("it was answered {}", fetched.status.as_u16())));
        }
        let found: DiscoveryDocument = serde_json::from_slice(&fetched.body)
            .map_err(|_| OidcError::Discovery("it lacks a member that a login needs".to_owned()))?;
        if found.issuer != self.issuer {
            return Err(OidcError::OtherIssuer(differing(&found.issuer, &self.issuer)));
        }
        let found = Arc::new(found);
        self.known.insert((), Arc::clone(&found)).await;
        Ok(found)
    }

    /// The URL at the issuer where a login begins. A silent one asks nothing of the person.
    pub async fn login_url(&self, proof: &LoginProof, is_silent: bool) -> Result<String, OidcError> {
        let discovery = self.discovery().await?;
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(proof.verifier.as_bytes()));
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &self.scopes),
            ("state", &proof.state),
            ("nonce", &proof.nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        if is_silent {
            pairs.push(("prompt", "none"));
        }
        let query = form(&pairs);
        let endpoint = &discovery.authorization_endpoint;
        let sign = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{sign}{query}"))
    }

    /// Exchanges the code that a browser brought back. `issuer` is what it says about where it comes from.
    pub async fn exchange(
        &self,
        code: &str,
        issuer: Option<&str>,
        proof: &LoginProof,
    ) -> Result<IssuerTokens, OidcError> {
        let discovery = self.discovery().await?;
        let announced = discovery.authorization_response_iss_parameter_supported;
        if issuer.map_or(announced, |issuer| issuer != self.issuer) {
            return Err(OidcError::Foreign);
        }
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &proof.verifier),
        ];
        let answer = self.post(&discovery.token_endpoint, &discovery, &pairs).await?;
        self.tokens(&answer, None, Some(&proof.nonce)).await
    }

    /// Exchanges a refresh token. Requests that come at the same time share one exchange.
    pub async fn refresh(self: &Arc<Self>, former: &IssuerTokens) -> Result<IssuerTokens, Arc<OidcError>> {
        let token = former.refresh.clone().unwrap_or_default();
        let (oidc, former) = (Arc::clone(self), former.clone());
        let key = token.clone();
        self.renewals.shared(key, async move { oidc.renewed(&token, &former).await }).await
    }

    /// Exchanges a refresh token at the issuer. An answer may come without a new ID token or refresh token: the former
    /// one then stays (`OpenID` Connect Core 1.0, section 12.2).
    async fn renewed(&self, token: &str, former: &IssuerTokens) -> Result<IssuerTokens, OidcError> {
        let discovery = self.discovery().await?;
        let pairs = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let answer = self.post(&discovery.token_endpoint, &discovery, &pairs).await?;
        if answer["id_token"].is_null() {
            return spared(&answer, token, former);
        }
        let renewed = self.tokens(&answer, Some(token), None).await?;
        let subject = |token: &str| claims(token).map(|claims| claims["sub"].clone());
        if subject(&renewed.id) == subject(&former.id) {
            Ok(renewed)
        } else {
            Err(OidcError::Token("it is about somebody else than before".to_owned()))
        }
    }

    /// Revokes a refresh token, where the issuer offers that.
    pub async fn revoke(&self, tokens: &IssuerTokens) -> Result<(), OidcError> {
        let discovery = self.discovery().await?;
        let (Some(endpoint), Some(token)) = (&discovery.revocation_endpoint, &tokens.refresh) else {
            return Ok(());
        };
        let pairs = [("token", token.as_str()), ("token_type_hint", "refresh_token")];
        self.renewals.forget(token).await;
        self.post(endpoint, &discovery, &pairs).await.map(|_| ())
    }

    async fn post(
        &self,
        endpoint: &str,
        discovery: &DiscoveryDocument,
        pairs: &[(&str, &str)],
    ) -> Result<Value, OidcError> {
        let secret = self.secret().await?;
        let methods = &discovery.token_endpoint_auth_methods_supported;
        let in_body = methods.iter().any(|method| method == "client_secret_post")
            && !methods.iter().any(|method| method == "client_secret_basic");
        let mut pairs = pairs.to_vec();
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, kind);
        match &secret {
            Some(secret) if !in_body => {
                headers.insert(header::AUTHORIZATION, basic(&self.client_id, secret));
            }
            Some(secret) => pairs.extend([("client_id", self.client_id.as_str()), ("client_secret", secret)]),
            None => pairs.push(("client_id", &self.client_id)),
        }
        let answer = self.fetcher.post(&uri(endpoint)?, headers, form(&pairs).into_bytes()).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if answer.status.is_success() {
            return Ok(body);
        }
        if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
            return Err(OidcError::Silent(format!("status {}", answer.status.as_u16())));
        }
        let said = body["error"].as_str().map(quoted);
        Err(OidcError::Refused(said.unwrap_or_else(|| answer.status.as_u16().to_string())))
    }

    async fn secret(&self) -> Result<Option<String>, OidcError> {
        let Some(file) = &self.secret_file else { return Ok(None) };
        let read = tokio::fs::read_to_string(file).await;
        let text = read.map_err(|error| OidcError::Refused(format!("--oidc-client-secret-file: {error}")))?;
        Ok(Some(text.trim().to_owned()))
    }

    async fn tokens(
        &self,
        answer: &Value,
        former: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<IssuerTokens, OidcError> {
        let Some(id) = answer["id_token"].as_str() else {
            return Err(OidcError::Token("there is none; ask for the scope openid".to_owned()));
        };
        if id.len() > MAX_TOKEN_BYTES {
            return Err(OidcError::TooLong(id.len()));
        }
        let checked = self.check(id).await.map_err(|refusal| OidcError::Token(refusal.to_string()))?;
        let all = claims(id).unwrap_or_default();
        for_us(&checked, &all, &self.client_id, nonce).map_err(|why| OidcError::Token(why.to_owned()))?;
        let refresh = refresh_token(answer).or(former).map(str::to_owned);
        Ok(IssuerTokens { id: id.to_owned(), refresh, ends: checked.exp.map_or(0, |end| end.0) })
    }

    /// Checks signature, issuer and time; asks for the keys once more if the token names an unknown one.
    async fn check(&self, token: &str) -> Result<TokenClaims, TokenRefusal> {
        let token = UnverifiedToken::parse(token)?;
        let issuers = [self.issuer.clone()];
        let rules = TokenRules { issuers: &issuers, leeway: LEEWAY, require_key_id: false };
        let known = match self.keys.keys() {
            Some(keys) => keys.verify(&token, &rules, clock::now()),
            None => Err(TokenRefusal::UnknownKey),
        };
        match known {
            Err(TokenRefusal::UnknownKey) => match self.keys.newer().await {
                Some(keys) => keys.verify(&token, &rules, clock::now()),
                None => Err(TokenRefusal::UnknownKey),
            },
            known => known,
        }
    }
}

/// What tokens become by an answer without a new ID token. It has an access token at least: what is in between may answer
/// anything.
fn spared(answer: &Value, token: &str, former: &IssuerTokens) -> Result<IssuerTokens, OidcError> {
    if let Some(said) = answer["error"].as_str() {
        return Err(OidcError::Refused(quoted(said)));
    }
    if !answer["access_token"].is_string() {
        return Err(OidcError::Silent("the answer has no token".to_owned()));
    }
    let refresh = refresh_token(answer).unwrap_or(token);
    Ok(IssuerTokens { refresh: Some(refresh.to_owned()), ..former.clone() })
}

/// The refresh token of an answer; an empty one is none.
fn refresh_token(answer: &Value) -> Option<&str> {
    answer["refresh_token"].as_str().filter(|token| !token.is_empty())
}

/// Checks that a token was made for this client and this login.
fn for_us(
    checked: &TokenClaims,
    all: &Value,
    client_id: &str,
    nonce: Option<&str>,
) -> Result<(), &'static str> {
    let audiences = &checked.aud.0;
    if !audiences.iter().any(|audience| audience == client_id) {
        return Err("it is for another client");
    }
    let party = all["azp"].as_str();
    if party.is_some_and(|party| party != client_id) || (audiences.len() > 1 && party.is_none()) {
        return Err("it was made for another party");
    }
    if nonce.is_some_and(|nonce| all["nonce"].as_str() != Some(nonce)) {
        return Err("it is of another login");
    }
    if checked.sub.as_deref().unwrap_or_default().is_empty() {
        return Err("it names nobody");
    }
    Ok(())
}

fn form(pairs: &[(&str, &str)]) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The client's credentials, each encoded as in a form first (RFC 6749, 2.3.1).
fn basic(id: &str, secret: &str) -> HeaderValue {
    let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let text = BASE64_STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret)));
    let mut value = HeaderValue::try_from(format!("Basic {text}")).expect("base64 is header text");
    value.set_sensitive(true);
    value
}

fn uri(text: &str) -> Result<Uri, OidcError> {
    text.parse().map_err(|_| OidcError::Discovery(format!("{} is not a URL", quoted(text))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_for_this_client_and_this_login() {
        let check = |claims: Value, nonce: Option<&str>| {
            let checked: TokenClaims = serde_json::from_value(claims.clone()).unwrap();
            for_us(&checked, &claims, "portal", nonce).err()
        };
        let claims = |aud: Value, azp: Value, nonce: &str, sub: &str| json!({"iss": "i", "aud": aud, "azp": azp, "nonce": nonce, "sub": sub});
        let other = Some("it was made for another party");
        let table = [
            (claims(json!("portal"), json!(null), "n", "a"), Some("n"), None),
            (claims(json!(["portal", "api"]), json!("portal"), "n", "a"), Some("n"), None),
            (claims(json!("portal"), json!(null), "old", "a"), None, None),
            (claims(json!("portal"), json!(null), "m", "a"), Some("n"), Some("it is of another login")),
            (claims(json!("api"), json!(null), "n", "a"), Some("n"), Some("it is for another client")),
            (claims(json!(["portal", "api"]), json!(null), "n", "a"), Some("n"), other),
            (claims(json!("portal"), json!("api"), "n", "a"), Some("n"), other),
            (claims(json!("portal"), json!(null), "n", ""), Some("n"), Some("it names nobody")),
        ];
        for (token, nonce, expected) in table {
            assert_eq!(check(token.clone(), nonce), expected, "{token}");
        }
    }

    #[test]
    fn an_answer_without_an_id_token_is_one_of_the_issuer() {
        let former = IssuerTokens { id: "i".to_owned(), refresh: Some("one".to_owned()), ends: 7 };
        let renewed = |answer: Value| spared(&answer, "one", &former);
        for (answer, refresh) in [
            (json!({"access_token": "a"}), "one"),
            (json!({"access_token": "a", "refresh_token": ""}), "one"),
            (json!({"access_token": "a", "refresh_token": "two"}), "two"),
        ] {
            let expected = IssuerTokens { refresh: Some(refresh.to_owned()), ..former.clone() };
            assert!(renewed(answer.clone()).is_ok_and(|tokens| tokens == expected), "{answer}");
        }
        for (answer, is_silence) in
            [(Value::Null, true), (json!({}), true), (json!({"error": "invalid_grant"}), false)]
        {
            assert_eq!(renewed(answer).err().map(|error| error.is_silence()), Some(is_silence));
        }
    }

    #[test]
    fn credentials_are_encoded_before_they_are_joined() {
        assert_eq!(
            basic("a:b", "c d").to_str().unwrap(),
            format!("Basic {}", BASE64_STANDARD.encode("a%3Ab:c+d"))
        );
    }
}

//! The webhook that is told what happens to keys.

use std::{fmt::Write as _, path::Path, time::Duration};

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use portolan_runtime::{
    clock,
    fetch::{AddressPolicy, FetchSettings, Fetched, Fetcher, NamedAddress},
};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::queue::{DeliveryVerdict, KeyNotice, WaitingNotices};

/// Header with the signature: `t=SECONDS,v1=HEX`, an HMAC-SHA256 over `ID.SECONDS.BODY`.
const SIGNATURE: &str = "portolan-signature";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The webhook, and what it is yet to be told.
#[derive(Debug)]
pub struct Notifier {
    url: Uri,
    key: SecretSlice<u8>,
    fetcher: Fetcher,
    pub(super) waiting: WaitingNotices,
}

/// A reason why nobody can be notified.
#[derive(Debug, thiserror::Error)]
pub enum NotifierError {
    #[error("failed to read --notify-key-file {path}")]
    Key { path: String, source: std::io::Error },
    #[error("--notify-key-file {0} is empty")]
    Empty(String),
    #[error("failed to prepare requests to --notify-url")]
    Fetcher(#[source] portolan_runtime::fetch::FetchError),
}

impl Notifier {
    pub fn new(url: Uri, key_file: &Path) -> Result<Self, NotifierError> {
        let path = key_file.display().to_string();
        let key =
            std::fs::read(key_file).map_err(|source| NotifierError::Key { path: path.clone(), source })?;
        let key = key.trim_ascii().to_vec();
        if key.is_empty() {
            return Err(NotifierError::Empty(path));
        }
        let settings = FetchSettings {
            // The operator chose the URL.
            policy: AddressPolicy { named: vec![NamedAddress::Anything], ..AddressPolicy::default() },
            system_authorities: true,
            plain_http: true,
            total_timeout: TIMEOUT,
            ..FetchSettings::default()
        };
        let fetcher = Fetcher::new(&settings).map_err(NotifierError::Fetcher)?;
        Ok(Self { url, key: key.into(), fetcher, waiting: WaitingNotices::default() })
    }

    pub(super) async fn send(&self, notice: &KeyNotice) -> DeliveryVerdict {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json"));
        let now = clock::now().as_second();
        if let Ok(value) = HeaderValue::try_from(self.signature(notice, now)) {
            headers.insert(SIGNATURE, value);
        }
        match self.fetcher.post(&self.url, headers, notice.body.clone()).await {
            Ok(answer) => verdict(&answer),
            Err(_) => DeliveryVerdict::Again(None),
        }
    }

    /// Each attempt has its own time, so that receivers can refuse old ones.
    fn signature(&self, notice: &KeyNotice, now: i64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.key.expose_secret());
        let mut context = hmac::Context::with_key(&key);
        context.update(format!("{}.{now}.", notice.id).as_bytes());
        context.update(&notice.body);
        let tag = context.sign();
        let mut signature = format!("t={now},v1=");
        for byte in tag.as_ref() {
            // Writing to a String cannot fail.
            let _ = write!(signature, "{byte:02x}");
        }
        signature
    }
}

fn verdict(answer: &Fetched) -> DeliveryVerdict {
    let wait = || {
        let seconds = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    };
    match answer.status {
        status if status.is_success() => DeliveryVerdict::Delivered,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => DeliveryVerdict::Again(wait()),
        status if status.is_server_error() => DeliveryVerdict::Again(wait()),
        status => DeliveryVerdict::Refused(status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_say_whether_to_try_again() {
        let answer = |status: u16, after: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(after));
            }
            verdict(&Fetched {
                status: StatusCode::from_u16(status).unwrap(),
                headers,
                body: Vec::new().into(),
            })
        };
        let table = [
            (204, None, DeliveryVerdict::Delivered),
            (503, None, DeliveryVerdict::Again(None)),
            (429, Some("7"), DeliveryVerdict::Again(Some(Duration::from_secs(7)))),
            (408, Some("soon"), DeliveryVerdict::Again(None)),
            (410, None, DeliveryVerdict::Refused(410)),
            (302, None, DeliveryVerdict::Refused(302)),
        ];
        for (status, after, expected) in table {
            assert_eq!(answer(status, after), expected, "{status}");
        }
    }
}

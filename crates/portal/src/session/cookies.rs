//! Cookies: how they are named, cut into parts that browsers keep, and cleared.

use http::{HeaderMap, HeaderValue, header};

/// Longest value of one cookie; browsers keep 4096 bytes with name and attributes.
const PART: usize = 3800;
/// Parts of a session. Servers in between refuse longer headers.
const MAX_PARTS: usize = 3;

/// The cookies of a portal at one URL.
#[derive(Clone, Debug)]
pub struct Cookies {
    /// `true` unless the portal is reached over plain HTTP, on this machine.
    is_secure: bool,
}

/// A value that no browser would keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Cookies {
    pub const fn new(is_secure: bool) -> Self {
        Self { is_secure }
    }

    /// Returns `true` if browsers reach the portal over TLS.
    pub const fn is_secure(&self) -> bool {
        self.is_secure
    }

    fn name(&self, name: &str, part: usize) -> String {
        let prefix = if self.is_secure { "__Host-" } else { "" };
        if part == 0 { format!("{prefix}{name}") } else { format!("{prefix}{name}-{part}") }
    }

    /// The value of a cookie, put together from its parts.
    pub fn get(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let parts = (0..MAX_PARTS).map_while(|part| find(headers, &self.name(name, part)));
        let value: String = parts.collect();
        (!value.is_empty()).then_some(value)
    }

    /// Headers that set a cookie for so many seconds, and remove parts of a longer one.
    pub fn set(&self, name: &str, value: &str, seconds: u64) -> Result<Vec<HeaderValue>, TooLong> {
        let parts: Vec<&[u8]> = value.as_bytes().chunks(PART).collect();
        if parts.len() > MAX_PARTS {
            return Err(TooLong);
        }
        let header = |part: usize| {
            let text = parts.get(part).and_then(|bytes| std::str::from_utf8(bytes).ok());
            self.header(&self.name(name, part), text.unwrap_or_default(), text.map_or(0, |_| seconds))
        };
        Ok((0..MAX_PARTS).map(header).collect())
    }

    /// Headers that remove a cookie.
    pub fn clear(&self, name: &str) -> Vec<HeaderValue> {
        (0..MAX_PARTS).map(|part| self.header(&self.name(name, part), "", 0)).collect()
    }

    fn header(&self, name: &str, value: &str, seconds: u64) -> HeaderValue {
        let secure = if self.is_secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
        let mut value = HeaderValue::try_from(text).expect("names and base64 are header text");
        value.set_sensitive(true);
        value
    }
}

/// Adds headers to an answer.
pub fn add(headers: &mut HeaderMap, cookies: Vec<HeaderValue>) {
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
}

fn find(headers: &HeaderMap, name: &str) -> Option<String> {
    let values = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent_back(set: &[HeaderValue]) -> HeaderMap {
        let kept = set.iter().map(|value| value.to_str().unwrap()).filter(|text| !text.contains("Max-Age=0"));
        let pairs: Vec<_> = kept.map(|text| text.split(';').next().unwrap()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(&pairs.join("; ")).unwrap());
        headers
    }

    #[test]
    fn long_values_come_back_from_their_parts() {
        let cookies = Cookies::new(true);
        for length in [1, PART, PART + 1, MAX_PARTS * PART] {
            let value = "x".repeat(length);
            let set = cookies.set("portal", &value, 60).unwrap();
            assert_eq!(set.len(), MAX_PARTS, "parts that are not needed are removed");
            assert_eq!(cookies.get(&sent_back(&set), "portal"), Some(value));
        }
        assert_eq!(cookies.set("portal", &"x".repeat(MAX_PARTS * PART + 1), 60), Err(TooLong));
    }

    #[test]
    fn cookies_belong_to_one_host_and_to_no_script() {
        let set = Cookies::new(true).set("portal", "v", 60).unwrap();
        let expected = "__Host-portal=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(set[0].to_str().unwrap(), expected);
        let plain = Cookies::new(false).set("portal", "v", 60).unwrap();
        assert_eq!(plain[0].to_str().unwrap(), "portal=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers
            .insert(header::COOKIE, HeaderValue::from_static("xportal=1; portal=2;portal-1=3; portal-3=9"));
        assert_eq!(Cookies::new(false).get(&headers, "portal").as_deref(), Some("23"));
        assert_eq!(Cookies::new(true).get(&headers, "portal"), None);
    }
}

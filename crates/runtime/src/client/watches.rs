//! Watches over HTTP/1.1, where only an answer shows that the server is alive, and silence is normal: they are asked to
//! end so soon that one which does not end is known to be dead.

use http::{Uri, uri::PathAndQuery};

/// Duration of a watch; well below the silence that is too long.
const SECONDS: u64 = 25;

/// Lets the server end a watch soon. Other requests stay as they are.
pub(super) fn shorten(uri: &mut Uri) {
    let Some(query) = uri.query().filter(|query| is_watch(query)) else { return };
    let mut pairs: Vec<String> = query.split('&').map(str::to_owned).collect();
    let wanted = pairs.iter().find_map(|pair| pair.strip_prefix("timeoutSeconds=")?.parse().ok());
    pairs.retain(|pair| !pair.starts_with("timeoutSeconds="));
    pairs.push(format!("timeoutSeconds={}", wanted.unwrap_or(SECONDS).min(SECONDS)));
    let mut parts = uri.clone().into_parts();
    let shortened = format!("{}?{}", uri.path(), pairs.join("&"));
    parts.path_and_query = PathAndQuery::try_from(shortened).ok();
    // The same characters as before; if it were no URI, the watch would be as long as it was.
    if let Ok(shortened) = Uri::from_parts(parts) {
        *uri = shortened;
    }
}

fn is_watch(query: &str) -> bool {
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watches_end_soon_and_nothing_else_changes() {
        let table = [
            (
                "https://h:1/a?watch=true&timeoutSeconds=290&b=c%2C",
                "https://h:1/a?watch=true&b=c%2C&timeoutSeconds=25",
            ),
            ("https://h:1/a?&watch=true", "https://h:1/a?&watch=true&timeoutSeconds=25"),
            ("https://h:1/a?timeoutSeconds=5&watch=1", "https://h:1/a?watch=1&timeoutSeconds=5"),
            ("https://h:1/a?timeoutSeconds=290", "https://h:1/a?timeoutSeconds=290"),
            ("https://h:1/a?watch=false&timeoutSeconds=290", "https://h:1/a?watch=false&timeoutSeconds=290"),
            ("https://h:1/watch", "https://h:1/watch"),
        ];
        for (before, after) in table {
            let mut uri: Uri = before.parse().unwrap();
            shorten(&mut uri);
            assert_eq!(uri.to_string(), after);
        }
    }
}

//! The version that is reported to providers, and its validity. Pure.

use portolan_core::condition::Verdict;

/// Version of the release, from whoever builds it; our own number otherwise.
const BUILT_AS: &str = match option_env!("PORTOLAN_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// The version to report, and the condition `ValidVersion` that goes with it.
pub fn reported() -> (String, Verdict) {
    judge(BUILT_AS)
}

fn judge(text: &str) -> (String, Verdict) {
    let number = text.strip_prefix('v').unwrap_or(text);
    if is_version(number) {
        return (format!("v{number}"), Verdict::holds());
    }
    let message = format!("The konnector was built as {text:?}, which is not a version such as v1.2.3.");
    ("unknown".to_owned(), Verdict::warning("ParseError", message))
}

/// Returns `true` if a text is a semantic version: three numbers, and perhaps words on what came before or was built.
fn is_version(text: &str) -> bool {
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, before) = text.split_once('-').map_or((text, None), |(core, before)| (core, Some(before)));
    let numbers: Vec<_> = core.split('.').collect();
    let is_number = |part: &&str| part.parse::<u64>().is_ok_and(|number| number.to_string() == **part);
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let are_words = |words: Option<&str>| words.is_none_or(|words| words.split('.').all(is_word));
    numbers.len() == 3 && numbers.iter().all(is_number) && are_words(before) && are_words(build)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_none_is_said() {
        for (text, version, reason) in [
            ("0.1.0", "v0.1.0", ""),
            ("v1.2.3", "v1.2.3", ""),
            ("1.2.3-rc.1", "v1.2.3-rc.1", ""),
            ("1.2.3-4-gabcdef0+dirty", "v1.2.3-4-gabcdef0+dirty", ""),
            ("", "unknown", "ParseError"),
            ("v", "unknown", "ParseError"),
            ("main", "unknown", "ParseError"),
            ("1.2", "unknown", "ParseError"),
            ("1.2.3.4", "unknown", "ParseError"),
            ("1.2.x", "unknown", "ParseError"),
            ("1.02.3", "unknown", "ParseError"),
            ("1.2.+3", "unknown", "ParseError"),
            ("1.2.3-", "unknown", "ParseError"),
            ("1.2.3+a b", "unknown", "ParseError"),
        ] {
            let (reported, verdict) = judge(text);
            assert_eq!((reported.as_str(), verdict.reason.as_str()), (version, reason), "{text:?}");
        }
        assert!(reported().1.is_true());
    }
}

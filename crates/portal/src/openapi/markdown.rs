//! Markdown of strangers as HTML that can do nothing: no markup of their own, no pictures, no scripts in links.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};
use serde_json::Value;

/// Longest text that is rendered.
const MAX_TEXT: usize = 64 * 1024;

/// The description of a part of a document, rendered. Pages put all of them in as markup, so that none may come from
/// elsewhere.
pub fn described(part: &Value) -> String {
    part["description"].as_str().map(clean).unwrap_or_default()
}

/// Renders a text.
pub fn clean(text: &str) -> String {
    let text = shortened(text);
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut is_dropped = Vec::new();
    let events = Parser::new_ext(text, options).filter_map(|event| match event {
        // What looks like markup is shown as it is written.
        Event::Html(markup) | Event::InlineHtml(markup) => Some(Event::Text(markup)),
        Event::Start(Tag::Image { .. } | Tag::HtmlBlock) | Event::End(TagEnd::Image | TagEnd::HtmlBlock) => {
            None
        }
        Event::Start(Tag::Link { ref dest_url, .. }) => {
            let is_bad = !is_harmless(dest_url);
            is_dropped.push(is_bad);
            (!is_bad).then_some(event)
        }
        Event::End(TagEnd::Link) => (!is_dropped.pop().unwrap_or(true)).then_some(event),
        other => Some(other),
    });
    let mut html = String::new();
    html::push_html(&mut html, events);
    html
}

fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns `true` for links that lead to a page or a mailbox.
fn is_harmless(url: &str) -> bool {
    let scheme = url.split_once(':').map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("https" | "http" | "mailto")) || url.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rendered() {
        assert_eq!(clean("a *b* `c`"), "<p>a <em>b</em> <code>c</code></p>\n");
        let link = "<p><a href=\"https://x.org/?a=b&amp;c\">x</a></p>\n";
        assert_eq!(clean("[x](https://x.org/?a=b&c)"), link);
    }

    #[test]
    fn nothing_of_it_can_act() {
        let table = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](data:text/html,<script>alert(1)</script>)",
            "![x](https://evil.example/p.png)",
            "<https://ok.example/><b onclick=x>",
            "[x](&#106;avascript:alert(1))",
            "[a]: javascript:alert(1)\n\n[a]",
            "[![x](y)](vbscript:x)",
            "<div>\n<style>*{}</style>\n</div>",
        ];
        for text in table {
            let html = clean(text);
            for bad in
                ["<script", "<img", "<b ", "<style", "<div", "href=\"javascript", "href=\"data", "href=\"vb"]
            {
                assert!(!html.to_lowercase().contains(bad), "{text}: {html}");
            }
        }
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        assert!(clean(&"ä".repeat(MAX_TEXT)).len() <= MAX_TEXT + 16);
    }
}

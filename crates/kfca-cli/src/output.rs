//! Output of the result.

use clap::CommandFactory as _;
use clap_complete::Shell;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize as _};
use serde_json::{Serializer, Value, json, ser::PrettyFormatter};

use crate::{args::CliArgs, ask::Answer};

/// The version for kubectl when it does not name one.
const EXEC_VERSION: &str = "client.authentication.k8s.io/v1";

/// The service's answer, indented by four spaces.
pub fn json(answer: &Answer) {
    print(&indented(&answer.body));
}

/// The token alone.
pub fn token(answer: &Answer) {
    print(answer.token.expose_secret());
}

/// A credential for kubectl, in the version that it asks for.
pub fn exec_credential(answer: &Answer, exec_info: Option<&str>) {
    print(&credential(answer, exec_info).to_string());
}

fn credential(answer: &Answer, exec_info: Option<&str>) -> Value {
    #[derive(Deserialize)]
    struct Info {
        #[serde(rename = "apiVersion")]
        api_version: String,
    }
    let asked =
        exec_info.and_then(|info| serde_json::from_str::<Info>(info).ok()).map(|info| info.api_version);
    let version = asked.filter(|version| version.starts_with("client.authentication.k8s.io/"));
    let mut status = json!({"token": answer.token.expose_secret()});
    if let Some(expires) = answer.expires {
        status["expirationTimestamp"] = json!(expires.to_string());
    }
    let version = version.unwrap_or_else(|| EXEC_VERSION.to_owned());
    json!({"apiVersion": version, "kind": "ExecCredential", "status": status})
}

fn indented(body: &Value) -> String {
    let mut text = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"    "));
    // Into memory, from what was read before: it does not fail.
    let _ = body.serialize(&mut serializer);
    String::from_utf8_lossy(&text).into_owned()
}

/// Completions of a shell.
pub fn completions(shell: Shell) {
    clap_complete::generate(shell, &mut CliArgs::command(), "kfca-cli", &mut std::io::stdout());
}

#[expect(clippy::print_stdout, reason = "the result of a command goes to standard output")]
fn print(text: &str) {
    println!("{text}");
}

/// Something that a person should know although the command goes on.
#[expect(clippy::print_stderr, reason = "a command line's warning goes to standard error")]
pub fn warn(text: &str) {
    eprintln!("warning: {text}");
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn answer() -> Answer {
        let body = json!({"status": {"token": "abc"}});
        let expires = Some("2027-01-01T00:00:00Z".parse().unwrap());
        Answer { token: SecretString::from("abc"), expires, body }
    }

    #[test]
    fn the_answer_is_indented_by_four() {
        let expected = "{\n    \"status\": {\n        \"token\": \"abc\"\n    }\n}";
        assert_eq!(indented(&answer().body), expected);
    }

    #[test]
    fn a_credential_has_the_version_that_was_asked_for() {
        let version =
            |info: Option<&str>| credential(&answer(), info)["apiVersion"].as_str().unwrap().to_owned();
        assert_eq!(version(None), EXEC_VERSION);
        let beta =
            r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","spec":{}}"#;
        assert_eq!(version(Some(beta)), "client.authentication.k8s.io/v1beta1");
        assert_eq!(version(Some(r#"{"apiVersion":"evil/v1"}"#)), EXEC_VERSION);
        assert_eq!(credential(&answer(), None)["status"]["expirationTimestamp"], "2027-01-01T00:00:00Z");
    }
}

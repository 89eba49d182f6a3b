//! The log of a container, line by line.

use tokio::sync::mpsc;

use super::{Subscriber, SubscriptionMessage, SubscriptionRoot};
use crate::{
    error::{ErrorCode, GraphError},
    execute::{CallArguments, object},
    lines::AnswerLines,
    plan::WantedSelection,
    upstream::{self, ApiRequest},
};

/// Follows a log.
pub async fn follow(
    subscriber: &Subscriber,
    root: &SubscriptionRoot,
    sender: &mpsc::Sender<SubscriptionMessage>,
) -> Result<(), GraphError> {
    let endpoint = &subscriber.served.endpoint;
    let kind = root.kind(endpoint)?;
    let arguments = CallArguments::new(subscriber.asking(), &root.call);
    let WantedSelection::Object(selection) = &root.call.wanted else {
        return Err(GraphError::new(ErrorCode::Internal, "no lines are planned"));
    };
    let most = subscriber.asking().max_response;
    let container = arguments.text("container")?;
    let path = arguments.path(&kind.resource)?.then("log").with_some("container", container.as_deref());
    let number = |name: &str| arguments.number(name).map(|number| number.map(|number| number.to_string()));
    let path = path.with_some("tailLines", number("tailLines")?.as_deref());
    let path = path.with_some("sinceSeconds", number("sinceSeconds")?.as_deref());
    let path = if arguments.is("follow")? { path.with("follow", "true") } else { path };
    let question = ApiRequest::log(path.text());
    let begun = endpoint.watches.begin(&subscriber.caller.authorization, question).await?;
    let mut lines = AnswerLines::of(begun.map_err(|refused| upstream::of_answer(&refused, None))?);
    let broken = |_| GraphError::new(ErrorCode::Unavailable, "the log broke off");
    while let Some(line) = lines.next().await.map_err(broken)? {
        let entry = serde_json::json!({"message": String::from_utf8_lossy(&line), "container": container.as_deref().unwrap_or_default()});
        let selected = object(entry.to_string().as_bytes(), selection, most)?;
        let mut out = format!("{{\"data\":{{\"{}\":", root.name).into_bytes();
        out.extend(selected.json);
        out.extend_from_slice(b"}}");
        if sender.send(SubscriptionMessage::Next(out.into(), None)).await.is_err() {
            break;
        }
    }
    Ok(())
}

//! The log of a container, line by line.

use tokio::sync::mpsc;

use super::{Message, Root, Subscriber};
use crate::{
    error::{Code, GraphError},
    execute::{Arguments, object},
    lines::Lines,
    plan::Wanted,
    upstream::{self, Question},
};

/// Follows a log.
pub async fn follow(
    subscriber: &Subscriber,
    root: &Root,
    sender: &mpsc::Sender<Message>,
) -> Result<(), GraphError> {
    let endpoint = &subscriber.served.endpoint;
    let kind = root.kind(endpoint)?;
    let arguments = Arguments::new(subscriber.asking(), &root.call);
    let Wanted::Object(selection) = &root.call.wanted else {
        return Err(GraphError::new(Code::Internal, "no lines are planned"));
    };
    let most = subscriber.asking().max_response;
    let container = arguments.text("container")?;
    let path = arguments.path(&kind.resource)?.then("log").with_some("container", container.as_deref());
    let number = |name: &str| arguments.number(name).map(|number| number.map(|number| number.to_string()));
    let path = path.with_some("tailLines", number("tailLines")?.as_deref());
    let path = path.with_some("sinceSeconds", number("sinceSeconds")?.as_deref());
    let path = if arguments.is("follow")? { path.with("follow", "true") } else { path };
    let question = Question::log(path.text());
    let begun = endpoint.watches.begin(&subscriber.caller.authorization, question).await?;
    let mut lines = Lines::of(begun.map_err(|refused| upstream::of_answer(&refused, None))?);
    let broken = |_| GraphError::new(Code::Unavailable, "the log broke off");
    while let Some(line) = lines.next().await.map_err(broken)? {
        let entry = serde_json::json!({"message": String::from_utf8_lossy(&line), "container": container.as_deref().unwrap_or_default()});
        let selected = object(entry.to_string().as_bytes(), selection, most)?;
        let mut out = format!("{{\"data\":{{\"{}\":", root.name).into_bytes();
        out.extend(selected.json);
        out.extend_from_slice(b"}}");
        if sender.send(Message::Next(out.into(), None)).await.is_err() {
            break;
        }
    }
    Ok(())
}

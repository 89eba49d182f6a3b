//! Subscriptions: changes of objects as they happen, from one watch that subscribers share.

mod channel;
mod follower;
mod hub;
mod known;
mod logs;
mod rights;
mod watching;

use std::sync::Arc;

use apollo_compiler::{
    response::{JsonMap, JsonValue},
    validation::Valid,
};
use futures::stream::{self, Stream};
use portolan_runtime::tasks::Tasks;
use tokio::sync::mpsc;

pub use self::hub::ChannelHub;
use crate::{
    endpoint::ClusterEndpoint,
    error::{ErrorCode, GraphError},
    execute::RequestContext,
    identity::Caller,
    plan::{FieldSource, PlanCall, PlanField, QueryPlan},
    scan::PathStep,
    schema::{OperationVerb, TypedKind},
    state::{GatewayState, ServedCluster},
};

/// Maximum number of messages that wait for a slow reader.
const WAITING: usize = 16;

/// A message to a subscriber.
#[derive(Clone, Debug)]
pub enum SubscriptionMessage {
    /// An answer, and the resource version from which a later subscription can resume.
    Next(Box<[u8]>, Option<Box<str>>),
    /// The error that ends the subscription.
    Failed(Box<GraphError>),
}

/// A subscriber and its subscription.
pub struct Subscriber {
    /// The state of the gateway.
    pub state: Arc<GatewayState>,
    /// The cluster.
    pub served: ServedCluster,
    /// The caller, whose token is proven again periodically.
    pub caller: Caller,
    /// The plan.
    pub plan: Arc<QueryPlan>,
    /// The variables, coerced.
    pub variables: Valid<JsonMap>,
    /// The position at which an earlier subscription ended.
    pub last_seen: Option<String>,
}

impl Subscriber {
    fn asking(&self) -> RequestContext<'_> {
        RequestContext {
            endpoint: &self.served.endpoint,
            authorization: &self.caller.authorization,
            variables: &self.variables,
            max_response: self.state.limits.max_response_bytes,
            reading: None,
        }
    }
}

/// The only field of a subscription.
struct SubscriptionRoot {
    name: Box<str>,
    path: Vec<PathStep>,
    location: Option<(usize, usize)>,
    call: PlanCall,
}

impl SubscriptionRoot {
    fn of(plan: &QueryPlan, variables: &JsonMap) -> Result<Self, GraphError> {
        let says = |name: &str| variables.get(name).and_then(JsonValue::as_bool).unwrap_or_default();
        let mut fields = plan.under(&says).into_iter();
        let no_call = || {
            GraphError::new(ErrorCode::ValidationFailed, "the subscription has no field that can be followed")
        };
        let Some(PlanField { name, location, does: FieldSource::Call(call), .. }) = fields.next() else {
            return Err(no_call());
        };
        Ok(Self { path: vec![PathStep::Field(name.to_string())], name, location, call: *call })
    }

    fn kind<'a>(&self, endpoint: &'a ClusterEndpoint) -> Result<&'a TypedKind, GraphError> {
        let kind = endpoint.api.kinds.get(self.call.operation.kind.unwrap_or_default());
        kind.ok_or_else(|| GraphError::new(ErrorCode::Internal, "the kind is not there"))
    }

    fn error(&self, error: GraphError) -> GraphError {
        error.at(&self.path, self.location)
    }
}

/// The messages of a subscription. It ends with the stream, or when its caller loses access.
pub fn subscribe(
    subscriber: Subscriber,
    tasks: &Tasks,
) -> Result<impl Stream<Item = SubscriptionMessage> + use<>, GraphError> {
    let root = SubscriptionRoot::of(&subscriber.plan, &subscriber.variables)?;
    let (sender, receiver) = mpsc::channel(WAITING);
    let limit = subscriber.state.limits.subscription_timeout;
    tasks.spawn("subscription", async move {
        let cluster = subscriber.served.endpoint.name.clone();
        let metrics = Arc::clone(&subscriber.state);
        metrics.metrics.subscribed(&cluster, 1);
        let work = async {
            match root.call.operation.verb {
                // Each in a box: a task takes the memory of the largest.
                OperationVerb::PodLogs => Box::pin(logs::follow(&subscriber, &root, &sender)).await,
                _ => Box::pin(follower::follow(&subscriber, &root, &sender)).await,
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(limit, work) => ended.unwrap_or(Ok(())),
            () = sender.closed() => Ok(()),
        };
        metrics.metrics.subscribed(&cluster, -1);
        if let Err(error) = ended {
            // The client may be gone already.
            let _ = sender.send(SubscriptionMessage::Failed(Box::new(root.error(error)))).await;
        }
    });
    Ok(stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|message| (message, receiver))
    }))
}

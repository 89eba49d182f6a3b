//! The one table of the API's routes: the router and the OpenAPI document are both made from it.

use std::sync::Arc;

use axum::routing::{MethodRouter, delete, get, patch, post};

use super::{
    catalog, counted, decisions, described, events, me, policies, products, requests, secrets, try_it, viewer,
};
use crate::app::App;

/// A route below `/api`.
pub(super) struct ApiRoute {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// A summary for people.
    pub(super) summary: &'static str,
    /// Members of the query.
    pub(super) query: &'static [&'static str],
    /// Members of the body, those that are needed with a `!`.
    pub(super) body: &'static [&'static str],
    /// The code of success.
    pub(super) code: u16,
    pub(super) handler: fn() -> MethodRouter<Arc<App>>,
}

const fn route(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    handler: fn() -> MethodRouter<Arc<App>>,
) -> ApiRoute {
    ApiRoute { method, path, summary, query: &[], body: &[], code: 200, handler }
}

impl ApiRoute {
    const fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    const fn body(self, body: &'static [&'static str]) -> Self {
        Self { body, ..self }
    }

    const fn code(self, code: u16) -> Self {
        Self { code, ..self }
    }
}

const PRODUCTS: &[&str] = &[
    "search",
    "sort",
    "page",
    "pageSize",
    "publishStatus",
    "lifecycle",
    "namespace",
    "tag",
    "authentication",
    "policy",
    "route",
    "catalog",
];
const KEYS: &[&str] =
    &["search", "sort", "page", "pageSize", "status", "namespace", "apiProductName", "tier"];

/// Every route.
pub(super) static ROUTES: &[ApiRoute] = &[
    route("GET", "/me", "Says who the caller is, and what it may do", || get(me::serve)),
    route("GET", "/kuadrant/apiproducts", "Lists products", || get(products::list)).query(PRODUCTS),
    route("POST", "/kuadrant/apiproducts", "Creates a product beside its route", || post(products::create))
        .body(&["metadata!", "spec!"])
        .code(201),
    route("GET", "/kuadrant/apiproducts/{namespace}/{name}", "Reads a product", || get(products::read)),
    route("PATCH", "/kuadrant/apiproducts/{namespace}/{name}", "Changes a product", || {
        patch(products::change)
    })
    .body(&["metadata", "spec"]),
    route("DELETE", "/kuadrant/apiproducts/{namespace}/{name}", "Deletes a product with its keys", || {
        delete(products::delete)
    })
    .code(204),
    route(
        "GET",
        "/kuadrant/apiproducts/{namespace}/{name}/openapi",
        "Lists the operations of an API",
        || get(viewer::overview),
    ),
    route(
        "GET",
        "/kuadrant/apiproducts/{namespace}/{name}/openapi/operations/{id}",
        "Shows an operation",
        || get(viewer::one),
    ),
    route("GET", "/kuadrant/apiproducts/{namespace}/{name}/openapi/raw", "Gives the OpenAPI text", || {
        get(viewer::raw)
    }),
    route("GET", "/kuadrant/apiproducts/{namespace}/{name}/usage", "Counts calls within a day", || {
        get(counted::read)
    }),
    route("GET", "/kuadrant/httproutes", "Lists routes with their policies", || get(policies::routes)),
    route("GET", "/kuadrant/planpolicies", "Lists PlanPolicies", || get(policies::plans)),
    route("GET", "/kuadrant/planpolicies/{namespace}/{name}", "Reads a PlanPolicy", || get(policies::plan)),
    route("GET", "/kuadrant/authpolicies", "Lists AuthPolicies", || get(policies::auths)),
    route("POST", "/kuadrant/requests", "Asks for a key", || post(requests::create))
        .body(&["apiProductName!", "namespace!", "planTier!", "useCase", "userEmail", "expiresAt"])
        .code(201),
    route("GET", "/kuadrant/requests", "Lists keys that the caller may decide about", || {
        get(requests::queue)
    })
    .query(KEYS),
    route("GET", "/kuadrant/requests/my", "Lists the caller's own keys", || get(requests::mine)).query(KEYS),
    route("POST", "/kuadrant/requests/bulk-approve", "Approves requests", || post(decisions::bulk_approve))
        .body(&["requests!", "comment"]),
    route("POST", "/kuadrant/requests/bulk-reject", "Rejects requests", || post(decisions::bulk_reject))
        .body(&["requests!", "reason", "comment"]),
    route("GET", "/kuadrant/requests/{namespace}/{name}", "Reads a request", || get(requests::read)),
    route("PATCH", "/kuadrant/requests/{namespace}/{name}", "Changes a pending request", || {
        patch(requests::change)
    })
    .body(&["spec!"]),
    route("DELETE", "/kuadrant/requests/{namespace}/{name}", "Deletes a request or key", || {
        delete(requests::delete)
    })
    .code(204),
    route("POST", "/kuadrant/requests/{namespace}/{name}/approve", "Approves a request", || {
        post(decisions::approve)
    })
    .body(&["comment"]),
    route(
        "POST",
        "/kuadrant/requests/{namespace}/{name}/reject",
        "Rejects a request, or revokes a key",
        || post(decisions::reject),
    )
    .body(&["reason", "comment"]),
    route("POST", "/kuadrant/requests/{namespace}/{name}/rotate", "Asks for a new value of a key", || {
        post(decisions::rotate)
    })
    .body(&["overlap"]),
    route("GET", "/kuadrant/requests/{namespace}/{name}/secret", "Reveals a key", || get(secrets::read)),
    route("GET", "/kuadrant/apikeys/{namespace}/{name}", "Reads a key", || get(requests::read)),
    route("GET", "/kuadrant/apikeys/{namespace}/{name}/secret", "Reveals a key", || get(secrets::read)),
    route("POST", "/kuadrant/try", "Sends one request to an API", || post(try_it::send)).body(&[
        "namespace!",
        "name!",
        "host",
        "key",
        "method!",
        "path!",
        "query",
        "headers",
        "body",
    ]),
    route("GET", "/catalog/entities", "Lists the catalog as entities of Backstage", || {
        get(catalog::entities)
    }),
    route("GET", "/events", "Streams changes", || get(events::follow)),
    route("GET", "/openapi.json", "Describes this API", || get(described::serve)),
];

//! `GET /api/me`: who the caller is, and what it may do.

use std::sync::Arc;

use axum::{Extension, extract::State, response::Response};
use http::StatusCode;
use portolan_core::foreign::GATEWAY_GROUP;
use portolan_runtime::clock;
use serde_json::{Value, json};

use super::reply::answer;
use crate::{
    access::AccessRight,
    app::App,
    caller::Caller,
    problem::Problem,
    session::open::{Session, SessionOwner},
};

pub(super) async fn serve(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<Response, Problem> {
    let mut me = json!({
        "user": caller.user.name, "groups": caller.user.groups, "via": "bearer", "demo": false,
        "can": rights(&app, &caller).await?,
        "features": {"usage": app.usage.is_some(), "tryIt": app.try_it.is_some()},
    });
    if let Some(opened) = &caller.session {
        me["via"] = "session".into();
        me["csrf"] = opened.session.csrf.clone().into();
        me["expiresAt"] = opened.ends.to_string().into();
        // Clocks of browsers differ; this one does not need them.
        me["expiresIn"] = opened.ends.duration_since(clock::now()).as_secs().max(0).into();
        me["idleSeconds"] = app.sessions.idle().as_secs().into();
        about_person(&app, &opened.session, &mut me);
    }
    Ok(answer(StatusCode::OK, &me))
}

fn about_person(app: &App, session: &Session, me: &mut Value) {
    let set = |me: &mut Value, member: &str, text: Option<&str>| {
        if let Some(text) = text {
            me[member] = text.into();
        }
    };
    match &session.who {
        SessionOwner::Demo(name) => {
            me["demo"] = true.into();
            set(me, "name", Some(name));
            set(me, "email", app.sessions.demo.as_ref().and_then(|people| people.email(name)));
        }
        SessionOwner::Oidc(_) => {
            let claims = session.claims().unwrap_or_default();
            set(me, "name", claims["name"].as_str().or_else(|| claims["preferred_username"].as_str()));
            set(me, "email", claims["email"].as_str());
            set(me, "issuer", app.sessions.oidc.as_ref().map(|oidc| oidc.issuer.as_str()));
        }
    }
}

/// The rights by which pages decide what to offer. The API server decides each time.
async fn rights(app: &App, caller: &Caller) -> Result<Value, Problem> {
    let namespaces = app.stores.namespaces();
    let may = async |right: AccessRight| {
        let places = app.access.places(&app.upstream, caller, &right, namespaces.clone()).await?;
        Ok::<_, Problem>(!places.is_nowhere())
    };
    let (create, update, delete, approve) = tokio::try_join!(
        may(AccessRight::of("create", "apiproducts")),
        may(AccessRight::of("manage", "apiproducts")),
        may(AccessRight::of("delete", "apiproducts")),
        may(AccessRight::of("manage", "apikeys")),
    )?;
    let (ask, decide, routes, plans, auths) = tokio::try_join!(
        may(AccessRight::of("create", "apikeys")),
        may(AccessRight::of("patch", "apikeys/status")),
        may(AccessRight::foreign("list", GATEWAY_GROUP, "httproutes")),
        may(AccessRight::foreign("list", "extensions.kuadrant.io", "planpolicies")),
        may(AccessRight::foreign("list", "kuadrant.io", "authpolicies")),
    )?;
    Ok(json!({
        "createProducts": create, "updateAnyProduct": update, "deleteAnyProduct": update && delete,
        "approveAnyKey": approve, "decideKeys": decide, "requestKeys": ask,
        "listRoutes": routes, "listPlanPolicies": plans, "listAuthPolicies": auths,
    }))
}

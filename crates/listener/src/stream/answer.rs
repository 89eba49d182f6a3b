//! Refusals, in the words of Kubernetes.

use http::StatusCode;
use portolan_runtime::server::answer::ApiStatus;

/// No token, or an invalid one.
pub(super) const UNAUTHORIZED: ApiStatus = ApiStatus {
    code: StatusCode::UNAUTHORIZED,
    reason: "Unauthorized",
    message: "send a token of the gateway's service account, for the audience of the listener, as a bearer token",
};
/// A valid token, but not of a gateway.
pub(super) const FORBIDDEN: ApiStatus = ApiStatus {
    code: StatusCode::FORBIDDEN,
    reason: "Forbidden",
    message: "this account is not among --gateway-accounts of the listener",
};
/// No review was possible.
pub(super) const UNAVAILABLE: ApiStatus = ApiStatus {
    code: StatusCode::SERVICE_UNAVAILABLE,
    reason: "ServiceUnavailable",
    message: "the token could not be reviewed: try again",
};
/// Too many unknown tokens at a time.
pub(super) const TOO_MANY: ApiStatus = ApiStatus {
    code: StatusCode::TOO_MANY_REQUESTS,
    reason: "TooManyRequests",
    message: "too many unknown tokens are being reviewed: try again",
};

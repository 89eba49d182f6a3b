//! The number of keys that a user may have of a product.

use super::status::PlanDraft;

/// Reason of a request that has to wait for others of the same user.
pub(super) const TOO_MANY: &str = "TooManyKeys";

/// Says that the user has as many keys of the product as allowed.
pub(super) fn too_many(draft: &PlanDraft<'_>) -> Option<String> {
    let (ahead, max) = (draft.seen.ahead, draft.seen.max_keys);
    (ahead >= max).then(|| {
        format!("The limit of {max} keys of this product, earlier requests included, is reached: delete one")
    })
}

//! News of changes: what changed, and who may hear of it.

use std::sync::Arc;

use kube::{Resource as _, ResourceExt as _};
use parking_lot::Mutex;
use portolan_core::{
    api::devportal::{ANNOTATION_OWNER, APIKey, APIProduct, PublishStatus},
    foreign::{Foreign, ForeignKind},
};
use portolan_runtime::latest::version;
use std::collections::HashSet;
use tokio::sync::broadcast;

use crate::foreign::{AuthPolicy, HttpRoute, PlanPolicy};

/// News that a slow reader may be behind; then it is told that anything may have changed.
const BACKLOG: usize = 1024;

/// The kind of a changed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewsKind {
    Products,
    Keys,
    Plans,
    Auths,
    Routes,
    /// A list was read again.
    Anything,
}

/// A change of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewsItem {
    pub kind: NewsKind,
    pub namespace: String,
    pub name: String,
    /// The version that it has got; `None` if that is not told.
    pub version: Option<u128>,
    /// The owner of a product, or the requester of a key.
    pub whose: String,
    /// The owner of a key's product.
    pub owner: String,
    /// `true` if the product is published, or was until now.
    pub is_public: bool,
    is_end: bool,
}

impl NewsItem {
    pub fn product(product: &APIProduct) -> Self {
        let owner = product.annotations().get(ANNOTATION_OWNER).cloned().unwrap_or_default();
        let is_public = product.spec.publish_status == PublishStatus::Published;
        Self {
            version: Some(version(product.meta())),
            whose: owner,
            is_public,
            ..Self::about(NewsKind::Products, product.namespace(), product.name_any())
        }
    }

    pub fn key(key: &APIKey) -> Self {
        let owner = key.status.as_ref().and_then(|status| status.product_owner.clone()).unwrap_or_default();
        let whose = key.spec.requested_by.user_id.clone();
        let version = Some(version(key.meta()));
        Self { version, whose, owner, ..Self::about(NewsKind::Keys, key.namespace(), key.name_any()) }
    }

    pub fn route(route: &HttpRoute) -> Self {
        Self::foreign(NewsKind::Routes, route)
    }

    pub fn plan(policy: &PlanPolicy) -> Self {
        Self::foreign(NewsKind::Plans, policy)
    }

    pub fn auth(policy: &AuthPolicy) -> Self {
        Self::foreign(NewsKind::Auths, policy)
    }

    /// Everything may have changed.
    pub fn anything() -> Self {
        Self::about(NewsKind::Anything, None, String::new())
    }

    /// The same when the object has gone.
    pub fn of_end(self) -> Self {
        Self { is_end: true, ..self }
    }

    fn foreign<K: ForeignKind>(kind: NewsKind, object: &Foreign<K>) -> Self {
        Self::about(kind, Some(object.namespace().to_owned()), object.name().to_owned())
    }

    fn about(kind: NewsKind, namespace: Option<String>, name: String) -> Self {
        Self {
            kind,
            namespace: namespace.unwrap_or_default(),
            name,
            version: None,
            whose: String::new(),
            owner: String::new(),
            is_public: false,
            is_end: false,
        }
    }
}

/// Where news is told, and read.
#[derive(Clone)]
pub struct Newsroom {
    sender: broadcast::Sender<NewsItem>,
    /// Published products: who could see one is told of its end, too.
    public: Arc<Mutex<HashSet<(String, String)>>>,
}

impl Newsroom {
    pub fn new() -> Self {
        Self { sender: broadcast::channel(BACKLOG).0, public: Arc::default() }
    }

    pub fn tell(&self, mut news: NewsItem) {
        if news.kind == NewsKind::Products {
            let place = (news.namespace.clone(), news.name.clone());
            let mut public = self.public.lock();
            let was_public =
                if news.is_public && !news.is_end { !public.insert(place) } else { public.remove(&place) };
            news.is_public |= was_public;
        }
        // Nobody may be listening.
        let _ = self.sender.send(news);
    }

    pub fn follow(&self) -> broadcast::Receiver<NewsItem> {
        self.sender.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_saw_a_product_hears_that_it_is_gone() {
        let newsroom = Newsroom::new();
        let mut told = newsroom.follow();
        let news = |is_public| NewsItem {
            is_public,
            ..NewsItem::about(NewsKind::Products, Some("a".into()), "p".into())
        };
        let table = [
            (news(false), false),
            (news(true), true),
            (news(false), true),
            (news(false), false),
            (news(true), true),
            (news(true).of_end(), true),
            (news(false).of_end(), false),
        ];
        for (news, expected) in table {
            newsroom.tell(news);
            assert_eq!(told.recv().await.unwrap().is_public, expected);
        }
    }
}

//! The text of a product's document: in its status, or packed in a ConfigMap.

use std::{io::Read as _, sync::Arc};

use flate2::read::GzDecoder;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt as _};
use moka::future::Cache;
use portolan_core::api::devportal::{APIProduct, ConfigMapReference, OpenApiStatus};

use super::document::OpenApiDocument;
use crate::problem::Problem;

/// The entry of the ConfigMap.
const ENTRY: &str = "openapi.gz";
const MAX_TEXT: u64 = 8 * 1024 * 1024;
/// Bytes of texts whose documents are kept.
const MAX_KEPT: u64 = 24 * 1024 * 1024;
/// Bytes of texts that are kept. Those in a status are at hand anyway.
const MAX_TEXTS: u64 = 16 * 1024 * 1024;

/// Documents and unpacked texts that were read lately, by the hash of the text.
pub struct DocumentCache {
    read: Cache<String, Arc<OpenApiDocument>>,
    unpacked: Cache<String, Arc<str>>,
}

impl DocumentCache {
    pub fn new() -> Self {
        let weigh =
            |_: &String, document: &Arc<OpenApiDocument>| u32::try_from(document.bytes).unwrap_or(u32::MAX);
        let length = |_: &String, text: &Arc<str>| u32::try_from(text.len()).unwrap_or(u32::MAX);
        Self {
            read: Cache::builder().max_capacity(MAX_KEPT).weigher(weigh).build(),
            unpacked: Cache::builder().max_capacity(MAX_TEXTS).weigher(length).build(),
        }
    }

    /// The text of a product's document.
    pub async fn text(&self, own: &kube::Client, product: &APIProduct) -> Result<Arc<str>, Problem> {
        let openapi = status(product)?;
        let Some(reference) = openapi.config_map_ref.as_ref().filter(|_| openapi.raw.is_empty()) else {
            return Ok(Arc::from(openapi.raw.as_str()));
        };
        let key = key(product, openapi);
        if let Some(known) = self.unpacked.get(&key).await {
            return Ok(known);
        }
        let text: Arc<str> = packed(own, product, reference).await?.into();
        self.unpacked.insert(key, Arc::clone(&text)).await;
        Ok(text)
    }

    /// The document of a product.
    pub async fn of(
        &self,
        own: &kube::Client,
        product: &APIProduct,
    ) -> Result<Arc<OpenApiDocument>, Problem> {
        let reading = async {
            let text = self.text(own, product).await?;
            let read = tokio::task::block_in_place(|| OpenApiDocument::parse(&text));
            read.map(Arc::new).map_err(|why| Problem::unprocessable(why.to_string()))
        };
        // Whoever comes while it is read waits for that.
        let read = self.read.try_get_with(key(product, status(product)?), Box::pin(reading)).await;
        read.map_err(|problem| Problem::clone(&problem))
    }
}

fn key(product: &APIProduct, openapi: &OpenApiStatus) -> String {
    format!("{}/{}/{}", product.uid().unwrap_or_default(), openapi.sha256, openapi.last_sync_time.0)
}

fn status(product: &APIProduct) -> Result<&OpenApiStatus, Problem> {
    let openapi = product.status.as_ref().and_then(|status| status.openapi.as_ref());
    let openapi = openapi.filter(|openapi| !openapi.raw.is_empty() || openapi.config_map_ref.is_some());
    openapi.ok_or_else(|| {
        let why = "OpenAPI specification not yet synced: see the condition OpenAPISpecReady of the product";
        Problem::new(StatusCode::NOT_FOUND, why)
    })
}

/// The text in the ConfigMap of a product.
async fn packed(
    own: &kube::Client,
    product: &APIProduct,
    reference: &ConfigMapReference,
) -> Result<String, Problem> {
    let api: Api<ConfigMap> = Api::namespaced(own.clone(), &product.namespace().unwrap_or_default());
    let found = api.get(&reference.name).await;
    let found =
        found.map_err(|_| Problem::unavailable("the text of the document cannot be read, try again"))?;
    let packed = found.binary_data.unwrap_or_default().remove(ENTRY).unwrap_or_default().0;
    tokio::task::block_in_place(|| unpacked(&packed))
        .ok_or_else(|| Problem::unavailable("the text of the document is damaged: delete its ConfigMap"))
}

fn unpacked(packed: &[u8]) -> Option<String> {
    let mut text = String::new();
    let read = GzDecoder::new(packed).take(MAX_TEXT + 1).read_to_string(&mut text).ok()?;
    (u64::try_from(read).ok()? <= MAX_TEXT).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use portolan_runtime::client;
    use serde_json::json;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_document_is_read_from_a_text_that_is_at_hand() {
        let reference = json!({"name": "p-openapi"});
        let openapi =
            json!({"sha256": "1", "lastSyncTime": "2026-06-01T00:00:00Z", "configMapRef": reference});
        let product: APIProduct = serde_json::from_value(json!({
            "apiVersion": "devportal.kuadrant.io/v1alpha1", "kind": "APIProduct",
            "metadata": {"name": "p", "namespace": "a", "uid": "1"},
            "spec": {"displayName": "P", "targetRef": {"group": "g", "kind": "k", "name": "r"}},
            "status": {"openapi": openapi},
        }))
        .unwrap();
        let documents = DocumentCache::new();
        let text = Arc::from("openapi: 3.0.0\ninfo: {title: P, version: '1'}\npaths: {}");
        documents.unpacked.insert(key(&product, status(&product).unwrap()), text).await;
        // Nobody is there to give the ConfigMap.
        let nobody = client::of(kube::Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap();
        let read = documents.of(&nobody, &product).await;
        assert!(read.is_ok(), "{:?}", read.err());
    }

    #[test]
    fn a_packed_text_is_bounded() {
        let pack = |text: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(unpacked(&pack(b"openapi: 3.0.0")).as_deref(), Some("openapi: 3.0.0"));
        assert_eq!(unpacked(&pack(&vec![b'x'; 8 * 1024 * 1024 + 1])), None);
        assert_eq!(unpacked(b"no gzip"), None);
    }
}

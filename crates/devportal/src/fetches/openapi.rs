//! OpenAPI texts: small ones go into the status, larger ones compressed into a ConfigMap of the product.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use http::{StatusCode, Uri};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ObjectMeta, PostParams},
};
use portolan_core::{
    api::devportal::{APIProduct, LABEL_PRODUCT, openapi_config_map_name},
    digest::sha256_hex,
};
use portolan_runtime::{
    apply::{delete, json_patch},
    fetch::{FetchError, Fetched},
    telemetry::ErrorChain,
};
use serde_json::json;

use super::store::{OpenApiOutcome, OpenApiText};
use crate::{
    context::Context,
    names::{ObjectName, label},
};

/// The key of the ConfigMap with the text.
const FILE: &str = "openapi.gz";

/// Fetches the text. One that was read before stays when it fails.
pub(super) async fn fetch(
    context: &Context,
    product: &ObjectName,
    url: &str,
    last: Option<OpenApiText>,
) -> OpenApiOutcome {
    match read(context, url).await {
        Ok(text) => match keep(context, product, &text, last.as_ref()).await {
            Ok(kept) => OpenApiOutcome { text: Some(kept), failure: None },
            Err(failure) => OpenApiOutcome { text: last, failure: Some(failure) },
        },
        Err(failure) => OpenApiOutcome { text: last, failure: Some(failure) },
    }
}

type FetchFailure = (&'static str, String);

async fn read(context: &Context, url: &str) -> Result<String, FetchFailure> {
    let uri =
        url.parse::<Uri>().map_err(|_| ("RequestCreationFailed", "the URL makes no sense".to_owned()))?;
    match context.fetches.fetchers.openapi.get(&uri, None).await {
        Ok(fetched) => judge(&fetched),
        Err(FetchError::TooLarge(limit)) => Err(("SpecSizeTooLarge", too_large(limit))),
        Err(FetchError::Url(_)) => {
            Err(("RequestCreationFailed", "the URL is not an absolute http or https URL".to_owned()))
        }
        Err(error @ FetchError::Body(_)) => Err(("ReadFailed", ErrorChain(&error).to_string())),
        Err(error) => Err(("FetchFailed", ErrorChain(&error).to_string())),
    }
}

fn too_large(limit: usize) -> String {
    format!(
        "OpenAPI spec exceeds size limit ({limit} bytes). Controller will not retry; the spec needs to change"
    )
}

fn judge(fetched: &Fetched) -> Result<String, FetchFailure> {
    if fetched.status != StatusCode::OK {
        return Err(("FetchFailed", format!("unexpected status code: {}", fetched.status.as_u16())));
    }
    let text = String::from_utf8(fetched.body.to_vec())
        .map_err(|_| ("ReadFailed", "the answer is not a text in UTF-8".to_owned()))?;
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        return Err(("ReadFailed", "the answer is a web page, not an OpenAPI text".to_owned()));
    }
    Ok(text)
}

/// Keeps a text where it belongs.
async fn keep(
    context: &Context,
    product: &ObjectName,
    text: &str,
    last: Option<&OpenApiText>,
) -> Result<OpenApiText, FetchFailure> {
    let (sha256, bytes) = (sha256_hex(text.as_bytes()), text.len());
    if bytes <= context.fetches.inline_bytes {
        return Ok(OpenApiText { sha256, bytes, raw: Some(text.into()) });
    }
    let is_kept = last.is_some_and(|last| last.sha256 == sha256 && last.raw.is_none());
    if !is_kept || !is_there(context, product).await? {
        store(context, product, text).await?;
    }
    Ok(OpenApiText { sha256, bytes, raw: None })
}

fn failed(error: impl std::error::Error + 'static) -> FetchFailure {
    ("ConfigMapFailed", format!("the ConfigMap with the text cannot be written: {}", ErrorChain(&error)))
}

fn maps(context: &Context, product: &ObjectName) -> (Api<ConfigMap>, String) {
    let api = Api::namespaced(context.client.clone(), &product.namespace);
    (api, openapi_config_map_name(&product.name))
}

async fn is_there(context: &Context, product: &ObjectName) -> Result<bool, FetchFailure> {
    let (api, name) = maps(context, product);
    api.get_metadata_opt(&name).await.map(|found| found.is_some()).map_err(failed)
}

/// Writes the ConfigMap. One of somebody else is left alone; one of a former product of this name is replaced.
async fn store(context: &Context, name: &ObjectName, text: &str) -> Result<(), FetchFailure> {
    let Some(product) = context.products.get(&name.namespace, &name.name) else { return Ok(()) };
    let ((api, map), packed) = (maps(context, name), pack(text).map_err(failed)?);
    if let Some(found) = api.get_metadata_opt(&map).await.map_err(failed)? {
        let uid = found.uid().unwrap_or_default();
        match owner(&found.metadata, &product) {
            Some(true) => {
                let operations = json!([
                    {"op": "test", "path": "/metadata/uid", "value": uid},
                    {"op": "add", "path": "/binaryData", "value": {FILE: packed}},
                ]);
                return json_patch(&api, &map, None, operations).await.map(|_: ConfigMap| ()).map_err(failed);
            }
            Some(false) => delete(&api, &map, &uid).await.map_err(failed)?,
            None => {
                let message =
                    format!("ConfigMap {map} exists and does not belong to this product: delete it");
                return Err(("ConfigMapConflict", message));
            }
        }
    }
    let metadata = ObjectMeta {
        name: Some(map),
        labels: Some([(LABEL_PRODUCT.to_owned(), label(&name.name))].into()),
        owner_references: product.owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    let data = [(FILE.to_owned(), packed)].into();
    let config_map = ConfigMap { metadata, binary_data: Some(data), ..ConfigMap::default() };
    api.create(&PostParams::default(), &config_map).await.map(|_| ()).map_err(failed)
}

/// `true` if this product owns it, `false` if a former one of the same name does.
fn owner(metadata: &ObjectMeta, product: &APIProduct) -> Option<bool> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let named =
        owners.iter().find(|owner| owner.kind == APIProduct::kind(&()) && owner.name == product.name_any());
    named.map(|owner| Some(&owner.uid) == product.metadata.uid.as_ref())
}

fn pack(text: &str) -> std::io::Result<ByteString> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes())?;
    encoder.finish().map(ByteString)
}

/// Deletes the ConfigMap of a product that needs none any more.
pub async fn discard(
    context: &Context,
    product: &APIProduct,
) -> Result<(), portolan_runtime::apply::WriteError> {
    let (api, map) = maps(context, &ObjectName::of(product));
    match api.get_metadata_opt(&map).await? {
        Some(found) if owner(&found.metadata, product).is_some() => {
            delete(&api, &map, &found.uid().unwrap_or_default()).await
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_no_texts_are_named() {
        let fetched = |status: u16, body: &[u8]| Fetched {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: body.to_vec().into(),
        };
        let table: [(u16, &[u8], Option<&str>); 6] = [
            (200, b"{\"openapi\": \"3.0.0\"}", None),
            (500, b"", Some("FetchFailed")),
            (200, b"  <!doctype html>", Some("ReadFailed")),
            (200, b"\xef\xbb\xbf<!doctype html>", Some("ReadFailed")),
            (200, b"\xef\xbb\xbf{\"openapi\": \"3.0.0\"}", None),
            (200, &[0xff, 0xfe], Some("ReadFailed")),
        ];
        for (status, body, reason) in table {
            assert_eq!(
                judge(&fetched(status, body)).err().map(|failure| failure.0),
                reason,
                "{status} {body:?}"
            );
        }
    }
}

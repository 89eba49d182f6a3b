//! OpenAPI documents of products: 3.5 MB each, packed in ConfigMaps as the controller keeps them.

use std::{fmt::Write as _, io::Write as _, time::Instant};

use anyhow::{Result, ensure};
use flate2::{Compression, write::GzEncoder};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use portolan_testkit::eventually;
use serde_json::json;

use super::{lab::Lab, median};
use crate::{
    devportal::lab::{NAMESPACE, product},
    figure::Value,
};

const ROUNDS: usize = 5;
const BYTES: usize = 3_500_000;
const ENTRY: &str = "openapi.gz";
const WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Time for the index and one operation.
pub(super) async fn read(lab: &Lab) -> Result<Vec<Value>> {
    let (mut through, mut direct) = (Vec::new(), Vec::new());
    let maps: Api<ConfigMap> = Api::namespaced(lab.cluster.plane.client(), NAMESPACE);
    for round in 0..ROUNDS {
        let name = product(round);
        keep(lab, &maps, &name, &document(round)?).await?;
        let path = format!("GET /api/kuadrant/apiproducts/{NAMESPACE}/{name}");
        let known = async || {
            let seen = lab.send(&lab.consumer, &path, (200, None)).await?.json();
            Ok::<_, anyhow::Error>(seen.pointer("/status/openapi/configMapRef").map(drop))
        };
        eventually("the portal knows of the document", WITHIN, known).await?;
        let begun = Instant::now();
        let index = lab.send(&lab.consumer, &format!("{path}/openapi"), (200, None)).await?;
        let one = format!("{path}/openapi/operations/operation-7");
        let operation = lab.send(&lab.consumer, &one, (200, None)).await?.json();
        through.push(begun.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            index.text.contains("operation-7") && operation["path"] == "/things-7/{id}",
            "another document"
        );
        let begun = Instant::now();
        maps.get(&name).await?;
        direct.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(vec![Value::beside(median(through), median(direct))])
}

/// Keeps a text beside its product.
async fn keep(lab: &Lab, maps: &Api<ConfigMap>, name: &str, text: &str) -> Result<()> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes())?;
    let data = [(ENTRY.to_owned(), ByteString(packed.finish()?))].into();
    let mut map = ConfigMap { binary_data: Some(data), ..ConfigMap::default() };
    map.metadata.name = Some(name.to_owned());
    maps.create(&PostParams::default(), &map).await?;
    let openapi = json!({"raw": "", "bytes": text.len(), "lastSyncTime": "2026-01-01T00:00:00Z",
        "configMapRef": {"name": name}});
    let patch = Patch::Merge(json!({"status": {"openapi": openapi}}));
    lab.cluster.products().patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// A document of operations that share schemas.
fn document(round: usize) -> Result<String> {
    let mut text = format!("openapi: 3.0.3\ninfo: {{title: Document {round}, version: '1'}}\npaths:\n");
    let mut number = 0;
    while text.len() < BYTES {
        write!(
            text,
            "  /things-{number}/{{id}}:\n    get:\n      operationId: operation-{number}\n      tags: [group-{}]\n      \
             summary: Reads one thing of kind {number}\n      description: |\n        Reads *one* thing, with everything \
             that belongs to it.\n        The answer is the same for everybody who may read it.\n      parameters:\n      \
             - {{name: id, in: path, required: true, schema: {{type: string, maxLength: 63}}}}\n      \
             - {{name: limit, in: query, schema: {{type: integer, minimum: 1, maximum: 500}}}}\n      responses:\n        \
             '200':\n          description: The thing\n          content:\n            application/json:\n              \
             schema: {{$ref: '#/components/schemas/Thing'}}\n        '404': {{description: There is none}}\n",
            number % 40
        )?;
        number += 1;
    }
    text.push_str(
        "components:\n  schemas:\n    Thing:\n      type: object\n      required: [id]\n      properties:\n        \
         id: {type: string}\n        parts: {type: array, items: {$ref: '#/components/schemas/Thing'}}\n",
    );
    Ok(text)
}

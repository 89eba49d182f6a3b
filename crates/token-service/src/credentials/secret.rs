//! The Secret in which renewed credentials survive a restart: `<cluster>-token`, as in the original.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use portolan_runtime::apply::code;
use secrecy::{ExposeSecret as _, SecretString};

const ATTEMPTS: usize = 5;
const LABEL: (&str, &str) = ("app.kubernetes.io/managed-by", "portolan-token-service");

/// The Secret in the namespace of the release.
#[derive(Clone, Debug)]
pub struct CredentialSecret {
    api: Api<Secret>,
    name: String,
}

impl CredentialSecret {
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    pub const fn api(&self) -> &Api<Secret> {
        &self.api
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the Secret; empty when there is none.
    pub async fn read(&self) -> Result<BTreeMap<String, SecretString>, kube::Error> {
        Ok(self.api.get_opt(&self.name).await?.map(|secret| tokens(&secret)).unwrap_or_default())
    }

    /// Puts one token into it and leaves everything else as it is. A conflict is read again.
    pub async fn write(&self, cluster: &str, token: &SecretString) -> Result<(), kube::Error> {
        let (key, value) = (key(cluster), ByteString(token.expose_secret().as_bytes().to_vec()));
        let mut attempt = 1;
        loop {
            let written = match self.api.get_opt(&self.name).await? {
                None => self.api.create(&PostParams::default(), &self.fresh(&key, &value)).await,
                Some(mut secret) => {
                    secret.data.get_or_insert_default().insert(key.clone(), value.clone());
                    // With the version that was read: who was faster makes this a conflict.
                    self.api.replace(&self.name, &PostParams::default(), &secret).await
                }
            };
            match written {
                Err(error) if code(&error) == 409 && attempt < ATTEMPTS => attempt += 1,
                result => return result.map(drop),
            }
        }
    }

    fn fresh(&self, key: &str, value: &ByteString) -> Secret {
        let labels = Some([(LABEL.0.to_owned(), LABEL.1.to_owned())].into());
        Secret {
            metadata: ObjectMeta { name: Some(self.name.clone()), labels, ..ObjectMeta::default() },
            data: Some([(key.to_owned(), value.clone())].into()),
            ..Secret::default()
        }
    }
}

/// The tokens of a Secret by cluster.
pub fn tokens(secret: &Secret) -> BTreeMap<String, SecretString> {
    let entries = secret.data.iter().flatten();
    let token = |(key, value): (&String, &ByteString)| {
        let cluster = key.strip_suffix("-token")?;
        Some((cluster.to_owned(), SecretString::from(std::str::from_utf8(&value.0).ok()?)))
    };
    entries.filter_map(token).collect()
}

fn key(cluster: &str) -> String {
    format!("{cluster}-token")
}

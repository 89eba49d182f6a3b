//! The documents of a source at one moment, for `gateway check`.

use std::{collections::BTreeMap, path::PathBuf};

use portolan_core::schema_document::{ClusterMetadata, DocumentEvent, PartReference};

use super::{
    client::{ListenerClient, whole},
    directory,
    follow::{Events, Parts},
};
use crate::args::SourceArgs;

/// A source, and the documents in it by name.
pub struct Listing {
    client: Option<ListenerClient>,
    parts: Parts,
    /// The documents.
    pub documents: BTreeMap<String, Listed>,
}

/// Where a document is.
pub enum Listed {
    /// In a file.
    File(PathBuf),
    /// With the listener.
    Sent(Box<ClusterMetadata>, Vec<PartReference>),
}

impl Listing {
    /// Lists the documents of a source.
    pub async fn of(args: &SourceArgs) -> Result<Self, String> {
        let mut client = ListenerClient::new(args);
        let documents = match &mut client {
            Some(client) => sent(client).await?,
            None => files(args).await?,
        };
        Ok(Self { client, parts: Parts::default(), documents })
    }

    /// Reads one of them.
    pub async fn read(&mut self, listed: &Listed) -> Result<Vec<u8>, String> {
        match (listed, &self.client) {
            (Listed::File(path), _) => directory::read(path).await,
            (Listed::Sent(metadata, references), Some(client)) => {
                let parts = self.parts.of_document(client, references).await;
                parts.and_then(|parts| whole(metadata, &parts)).map_err(|failure| failure.told())
            }
            (Listed::Sent(..), None) => Err("there is no listener".to_owned()),
        }
    }
}

async fn files(args: &SourceArgs) -> Result<BTreeMap<String, Listed>, String> {
    let found = directory::documents(args.directory()).await.map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|(name, (path, _))| (name, Listed::File(path))).collect())
}

async fn sent(client: &mut ListenerClient) -> Result<BTreeMap<String, Listed>, String> {
    let reading = async {
        let mut events = Events::of(client.documents(None, false).await?);
        let mut documents = BTreeMap::new();
        while let Some(event) = events.next().await? {
            match event {
                DocumentEvent::Upsert { name, metadata, parts, .. } => {
                    documents.insert(name, Listed::Sent(metadata, parts));
                }
                DocumentEvent::Remove { name, .. } => _ = documents.remove(&name),
                DocumentEvent::Synced { .. } => break,
                DocumentEvent::Heartbeat { .. } => {}
            }
        }
        Ok(documents)
    };
    reading.await.map_err(|failure: super::client::Failure| failure.told())
}

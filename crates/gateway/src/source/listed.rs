//! The documents of a source at one moment, for `gateway check`.

use std::{collections::BTreeMap, path::PathBuf};

use portolan_core::schema_document::{ClusterMetadata, DocumentEvent, PartReference};

use super::{
    client::{ListenerClient, whole},
    directory,
    follow::{RecentParts, StreamEvents},
};
use crate::args::SourceArgs;

/// A source, and the documents in it by name.
pub struct SourceListing {
    client: Option<ListenerClient>,
    parts: RecentParts,
    /// The documents.
    pub documents: BTreeMap<String, ListedDocument>,
}

/// Where a document is.
pub enum ListedDocument {
    /// In a file.
    File(PathBuf),
    /// With the listener.
    Sent(Box<ClusterMetadata>, Vec<PartReference>),
}

impl SourceListing {
    /// Lists the documents of a source.
    pub async fn of(args: &SourceArgs) -> Result<Self, String> {
        let mut client = ListenerClient::new(args);
        let documents = match &mut client {
            Some(client) => sent(client).await?,
            None => files(args).await?,
        };
        Ok(Self { client, parts: RecentParts::default(), documents })
    }

    /// Reads one of them.
    pub async fn read(&mut self, listed: &ListedDocument) -> Result<Vec<u8>, String> {
        match (listed, &self.client) {
            (ListedDocument::File(path), _) => directory::read(path).await,
            (ListedDocument::Sent(metadata, references), Some(client)) => {
                let parts = self.parts.of_document(client, references).await;
                parts.and_then(|parts| whole(metadata, &parts)).map_err(|failure| failure.told())
            }
            (ListedDocument::Sent(..), None) => Err("there is no listener".to_owned()),
        }
    }
}

async fn files(args: &SourceArgs) -> Result<BTreeMap<String, ListedDocument>, String> {
    let found = directory::documents(args.directory()).await.map_err(|error| error.to_string())?;
    Ok(found.into_iter().map(|(name, (path, _))| (name, ListedDocument::File(path))).collect())
}

async fn sent(client: &mut ListenerClient) -> Result<BTreeMap<String, ListedDocument>, String> {
    let reading = async {
        let mut events = StreamEvents::of(client.documents(None, false).await?);
        let mut documents = BTreeMap::new();
        while let Some(event) = events.next().await? {
            match event {
                DocumentEvent::Upsert { name, metadata, parts, .. } => {
                    documents.insert(name, ListedDocument::Sent(metadata, parts));
                }
                DocumentEvent::Remove { name, .. } => _ = documents.remove(&name),
                DocumentEvent::Synced { .. } => break,
                DocumentEvent::Heartbeat { .. } => {}
            }
        }
        Ok(documents)
    };
    reading.await.map_err(|failure: super::client::ListenerFailure| failure.told())
}

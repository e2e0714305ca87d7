//! Durability `Full`, as far as artifacts go.
//! It must never be asked under `Normal`: it waits for the disk.

use crate::pump::Batch;
use model::{Content, Event};

/// Under `Full`, what an event names is on the disk before the event.
pub(crate) fn sync_artifacts(artifacts: &artifacts::Store, batch: &Batch) -> Result<(), String> {
    for recorded in batch.appends.iter().flat_map(|append| &append.events) {
        let contents: Vec<Content> = match &recorded.event {
            Event::RunCreated(record) => record.source.tree.map(Content::Tree).into_iter().collect(),
            Event::NodeEnded(ended) => {
                let named = ended.outputs.artifacts.iter().filter_map(|named| named.artifact.as_ref());
                named.map(|artifact| artifact.content.clone()).collect()
            }
            _ => Vec::new(),
        };
        for content in contents.iter().filter(|c| !matches!(c, Content::Raw(_) | Content::Uri(_))) {
            artifacts.sync(content).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

//! A large list: it is written while it comes, so that only a part of it is in memory.

use std::mem::take;

use super::{
    sink::{AnswerSink, StopReason},
    unreadable::{broken, mismatched, unlistable},
};
use crate::{
    endpoint::ClusterEndpoint,
    error::GraphError,
    scan::{ItemOrder, ListError, ListSelection, ListWriter},
    upstream::AnswerFeed,
};

/// A list of which the beginning is there.
#[derive(Debug)]
pub struct ListFlow<'p> {
    feed: AnswerFeed,
    selection: &'p ListSelection,
    /// The order in which the items are expected.
    order: Option<ItemOrder>,
    of: (&'p ClusterEndpoint, usize),
    /// The most that is written at a time, in bytes.
    most: usize,
}

impl<'p> ListFlow<'p> {
    /// A list of a kind of an endpoint that is written as it comes.
    pub const fn new(
        feed: AnswerFeed,
        selection: &'p ListSelection,
        order: Option<ItemOrder>,
        of: (&'p ClusterEndpoint, usize),
        most: usize,
    ) -> Self {
        Self { feed, selection, order, of, most }
    }

    /// Writes the list. Returns errors of single values. If the rest of the list cannot be had, what is written has its
    /// brackets closed, and is not the list.
    pub async fn write(mut self, sink: &mut AnswerSink) -> Result<Vec<GraphError>, StopReason> {
        let order = self.order.take();
        let mut listing = ListWriter::new(self.selection, order.as_ref(), (take(&mut sink.out), self.most));
        let written = self.pour(&mut listing, sink).await;
        if let Err(StopReason::Broken(_)) = written {
            listing.break_off();
        }
        sink.out = take(listing.out());
        written.map(|()| listing.mismatches().iter().map(mismatched).collect())
    }

    async fn pour(&mut self, listing: &mut ListWriter<'_>, sink: &mut AnswerSink) -> Result<(), StopReason> {
        let unreadable = |malformed| StopReason::Broken(broken(malformed));
        let (endpoint, kind) = self.of;
        loop {
            let used = listing.advance(self.feed.bytes(), sink.room).map_err(|error| {
                if error == ListError::Unordered {
                    endpoint.lists_in_another_order(kind);
                }
                StopReason::Broken(unlistable(error))
            })?;
            self.feed.used(used);
            if listing.out().len() >= sink.room {
                sink.out = take(listing.out());
                sink.pass().await?;
                *listing.out() = take(&mut sink.out);
            } else if listing.is_done() {
                // Only what is read to its end leaves its connection free.
                let ends = listing.has_enough() || self.feed.ends().await.map_err(StopReason::Broken)?;
                return if ends { Ok(()) } else { Err(unreadable(listing.cut())) };
            } else if self.feed.is_over() {
                return Err(unreadable(listing.cut()));
            } else {
                self.feed.more().await.map_err(StopReason::Broken)?;
            }
        }
    }
}

//! A large list: it is written while it comes, so that only a part of it is in memory.

use std::mem::take;

use super::{
    sink::{Sink, Stopped},
    unreadable::{broken, mismatched, unlistable},
};
use crate::{
    endpoint::Endpoint,
    error::GraphError,
    scan::{ListError, ListSelection, Listing, Order},
    upstream::Feed,
};

/// A list of which the beginning is there.
#[derive(Debug)]
pub struct Flow<'p> {
    feed: Feed,
    selection: &'p ListSelection,
    /// The order in which the items are expected.
    order: Option<Order>,
    of: (&'p Endpoint, usize),
    /// The most that is written at a time, in bytes.
    most: usize,
}

impl<'p> Flow<'p> {
    /// A list of a kind of an endpoint that is written as it comes.
    pub const fn new(
        feed: Feed,
        selection: &'p ListSelection,
        order: Option<Order>,
        of: (&'p Endpoint, usize),
        most: usize,
    ) -> Self {
        Self { feed, selection, order, of, most }
    }

    /// Writes the list. Returns errors of single values. If the rest of the list cannot be had, what is written has its
    /// brackets closed, and is not the list.
    pub async fn write(mut self, sink: &mut Sink) -> Result<Vec<GraphError>, Stopped> {
        let order = self.order.take();
        let mut listing = Listing::new(self.selection, order.as_ref(), (take(&mut sink.out), self.most));
        let written = self.pour(&mut listing, sink).await;
        if let Err(Stopped::Broken(_)) = written {
            listing.break_off();
        }
        sink.out = take(listing.out());
        written.map(|()| listing.mismatches().iter().map(mismatched).collect())
    }

    async fn pour(&mut self, listing: &mut Listing<'_>, sink: &mut Sink) -> Result<(), Stopped> {
        let unreadable = |malformed| Stopped::Broken(broken(malformed));
        let (endpoint, kind) = self.of;
        loop {
            let used = listing.advance(self.feed.bytes(), sink.room).map_err(|error| {
                if error == ListError::Unordered {
                    endpoint.lists_in_another_order(kind);
                }
                Stopped::Broken(unlistable(error))
            })?;
            self.feed.used(used);
            if listing.out().len() >= sink.room {
                sink.out = take(listing.out());
                sink.pass().await?;
                *listing.out() = take(&mut sink.out);
            } else if listing.is_done() {
                // Only what is read to its end leaves its connection free.
                let ends = listing.has_enough() || self.feed.ends().await.map_err(Stopped::Broken)?;
                return if ends { Ok(()) } else { Err(unreadable(listing.cut())) };
            } else if self.feed.is_over() {
                return Err(unreadable(listing.cut()));
            } else {
                self.feed.more().await.map_err(Stopped::Broken)?;
            }
        }
    }
}

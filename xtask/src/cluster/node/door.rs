//! The doors of the API servers: sockets of the machine's own network that lead to the cluster's.

use std::{net::TcpListener, os::fd::AsFd as _};

use anyhow::{Context as _, Result};
use tokio::{
    io::copy_bidirectional,
    net::{self, TcpStream},
    task::JoinSet,
};

/// The sockets that were inherited as standard input and output.
pub(super) fn both() -> Result<(net::TcpListener, net::TcpListener)> {
    let listener = |descriptor: std::os::fd::BorrowedFd<'_>| {
        let listener = TcpListener::from(descriptor.try_clone_to_owned()?);
        listener.set_nonblocking(true)?;
        net::TcpListener::from_std(listener)
    };
    let (input, output) = (std::io::stdin(), std::io::stdout());
    let inherited = "the node is started by `cargo xtask cluster up`, which hands it two sockets";
    Ok((listener(input.as_fd()).context(inherited)?, listener(output.as_fd()).context(inherited)?))
}

/// Forwards every connection to the API server at `url`, until it is dropped.
pub(super) fn serve(door: net::TcpListener, url: String) -> JoinSet<()> {
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let target = url.trim_start_matches("https://").to_owned();
        let mut guests = JoinSet::new();
        while let Ok((mut guest, _)) = door.accept().await {
            let target = target.clone();
            guests.spawn(async move {
                let Ok(mut server) = TcpStream::connect(target).await else { return };
                // Either side may break off.
                let _ = copy_bidirectional(&mut guest, &mut server).await;
            });
            while guests.try_join_next().is_some() {}
        }
    });
    serving
}

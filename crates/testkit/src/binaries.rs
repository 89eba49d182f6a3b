//! The programs of a control plane, for whoever waits in an async runtime.

use std::path::PathBuf;

use anyhow::Result;
pub use portolan_control_plane::ControlPlaneBinaries;
use portolan_control_plane::{Build, GoModule, PAUSE};

use crate::progress::Progress;

/// Finds the programs, and builds them when they are nowhere. A build takes about nine minutes, once.
///
/// # Errors
/// When they cannot be built.
pub async fn locate(progress: &dyn Progress) -> Result<ControlPlaneBinaries> {
    if let Some(provided) = ControlPlaneBinaries::provided()? {
        return Ok(provided);
    }
    ControlPlaneBinaries::built(&finished(Build::begin()?, progress).await?)
}

/// The directory with the programs of a module; builds them first if it is missing.
pub(crate) async fn cached(module: &'static GoModule, progress: &dyn Progress) -> Result<PathBuf> {
    finished(Build::of(module)?, progress).await
}

async fn finished(mut build: Build, progress: &dyn Progress) -> Result<PathBuf> {
    loop {
        if let Some(directory) = build.step(&mut |text| progress.step(text))? {
            return Ok(directory);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

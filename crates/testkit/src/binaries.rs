//! The programs of a control plane, for whoever waits in an async runtime.

use anyhow::Result;
pub use portolan_control_plane::ControlPlaneBinaries;
use portolan_control_plane::{Build, PAUSE};

use crate::progress::Progress;

/// Finds the programs, and builds them when they are nowhere. A build takes about nine minutes, once.
///
/// # Errors
/// When they cannot be built.
pub async fn locate(progress: &dyn Progress) -> Result<ControlPlaneBinaries> {
    if let Some(provided) = ControlPlaneBinaries::provided()? {
        return Ok(provided);
    }
    let mut build = Build::begin()?;
    loop {
        if let Some(directory) = build.step(&mut |text| progress.step(text))? {
            return ControlPlaneBinaries::built(&directory);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

//! Builds the programs of a control plane where nobody has them yet, and says so as it goes.

use std::{io::Write as _, process::ExitCode, time::Instant};

use portolan_control_plane::{ensure_built, spawner};

fn main() -> ExitCode {
    spawner::end_with_parent();
    let started = Instant::now();
    // A closed pipe is no reason to panic.
    let mut say = |text: &str| {
        let _ = writeln!(std::io::stderr(), "[{:>6.1}s] {text}", started.elapsed().as_secs_f64());
    };
    let Err(error) = ensure_built(&mut say) else { return ExitCode::SUCCESS };
    say(&format!("error: {error:#}"));
    ExitCode::FAILURE
}

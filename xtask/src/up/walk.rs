//! The steps of the walk-through, one after the other. A service joins with its own list of steps.

use std::pin::Pin;

use anyhow::Result;

use super::{cert_manager, devportal, gateway, kube_bind, listener, portal, report, tokens, world::World};
use crate::display::Display;

/// A step under way. It answers with a note for its reader, or with an empty one.
pub(super) type Running<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

/// One thing that a person would do or see.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) run: fn(&mut World) -> Running<'_>,
}

/// The parts of the walk-through, in order.
const PARTS: [&[Step]; 6] =
    [kube_bind::STEPS, tokens::STEPS, listener::STEPS, gateway::STEPS, devportal::STEPS, portal::STEPS];

/// Takes every step until one fails, with the scenes of the services that are asked for. False when one did; then it
/// has been said which, and what was seen.
pub(super) async fn walk(display: &Display, world: &mut World, with: &[String]) -> bool {
    let scene = with.iter().any(|name| name == cert_manager::NAME).then_some(cert_manager::STEPS);
    for step in PARTS.iter().copied().chain(scene).flatten() {
        match display.run(step.name, (step.run)(world)).await {
            Ok(note) if note.is_empty() => {}
            Ok(note) => display.line(format_args!("      {note}")),
            Err(error) => {
                display.finish();
                report::failure(world, step.name, &error).await;
                return false;
            }
        }
    }
    true
}

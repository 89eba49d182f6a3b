//! The memory of a run: what the audit logs have told so far, what backups have undone, and when nobody could know what
//! was deleted.

use anyhow::Result;
use jiff::Timestamp;
use portolan_runtime::clock;
use portolan_testkit::audit::{AuditEntry, Mark};

use super::{
    agree::{Listed, Sides},
    copies::Copies,
    findings::{Findings, Name},
    history::Write,
    kinds::{CLAIMS, Kind},
    origins::{Event, Origins},
    steps::Side,
    world::{World, contract, is_tortured},
};

/// What is known of one side.
#[derive(Default)]
struct Track {
    events: Vec<Event>,
    mark: Mark,
}

/// A time in which origins went, and nobody told the provider. Copies of theirs may stay.
struct Window {
    /// `None` for all kinds.
    plural: Option<&'static str>,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl Window {
    fn has(&self, at: Timestamp, plural: &str) -> bool {
        let claims = |own: &str| own == CLAIMS.plural && plural == "secrets";
        let is_kind = self.plural.is_none_or(|own| own == plural || claims(own));
        is_kind && self.since <= at && self.until.is_none_or(|until| at <= until)
    }
}

#[derive(Default)]
pub(super) struct Record {
    consumer: Track,
    provider: Track,
    windows: Vec<Window>,
}

impl Record {
    /// From now on, what users delete of a kind may leave its copies behind.
    pub(super) fn excuse(&mut self, plural: Option<&'static str>, since: Timestamp) {
        self.windows.push(Window { plural, since, until: None });
    }

    /// Everything is bound again, and both sides agree.
    pub(super) fn no_more_excuses(&mut self) {
        let now = clock::precise_now();
        self.windows.iter_mut().for_each(|window| window.until = window.until.or(Some(now)));
    }

    /// A backup with these objects takes the place of everything. The API server must not run.
    pub(super) fn restored(&mut self, world: &World, side: Side, objects: Listed) -> Result<()> {
        self.read(world, side)?;
        self.track(side).events.push(Event::Restored(objects));
        Ok(())
    }

    /// All that is wrong now.
    pub(super) async fn judge(&mut self, world: &World) -> Result<Findings> {
        let (here, there) = tokio::try_join!(world.list(Side::Consumer), world.list(Side::Provider))?;
        self.read(world, Side::Consumer)?;
        self.read(world, Side::Provider)?;
        let contract = contract();
        let users = Origins::read(&self.consumer.events);
        let copies = Copies::read(&self.provider.events, &contract, &users);
        let excused = |uid: &str| {
            let gone = users.given_up_at(uid);
            gone.is_some_and(|(at, plural)| self.windows.iter().any(|window| window.has(*at, plural)))
        };
        let mut findings = users.judge(&here);
        findings.append(copies.findings().clone());
        let sides = Sides { contract: &contract, users: &users, copies: &copies, excused: &excused };
        findings.append(sides.compare(&here, &there));
        Ok(findings)
    }

    fn track(&mut self, side: Side) -> &mut Track {
        match side {
            Side::Consumer => &mut self.consumer,
            Side::Provider => &mut self.provider,
        }
    }

    fn read(&mut self, world: &World, side: Side) -> Result<()> {
        let log = world.plane(side).audit();
        let track = self.track(side);
        let entries = log.entries_since(track.mark)?;
        track.mark = log.mark()?;
        let writes: Vec<_> = entries.iter().filter_map(|entry| tortured(&world.kinds, entry)).collect();
        let writes = writes.into_iter().filter(|write| is_tortured(side, &write.place));
        match track.events.last_mut() {
            Some(Event::Writes(before)) => before.extend(writes),
            _ => track.events.push(Event::Writes(writes.collect())),
        }
        Ok(())
    }
}

fn tortured(kinds: &[Kind], entry: &AuditEntry) -> Option<Write> {
    let object = entry.object_ref.as_ref()?;
    let is_kind = |kind: &Kind| kind.group == object.api_group && kind.plural == object.resource;
    let is_secret = object.api_group.is_empty() && object.resource == "secrets";
    if is_secret || kinds.iter().any(is_kind) { Write::read(entry) } else { None }
}

/// What our processes have written on both sides after these places, leases and signs of life apart.
pub(super) fn late_writes(world: &World, marks: [Mark; 2]) -> Result<Findings> {
    let mut findings = Findings::default();
    for (side, mark) in [Side::Consumer, Side::Provider].into_iter().zip(marks) {
        let entries = world.plane(side).audit().entries_since(mark)?;
        for entry in entries.iter().filter(|entry| is_late(entry)) {
            findings.add(Name::LateWrites, format_args!("{side:?}: {}", entry.line()));
        }
    }
    Ok(findings)
}

fn is_late(entry: &AuditEntry) -> bool {
    let is_heartbeat = entry.object_ref.as_ref().is_some_and(|at| at.resource == "clusterbindings");
    let user = entry.user.username.strip_prefix("system:serviceaccount:").unwrap_or_default();
    let is_ours = [":konnector", ":provider", ":kube-binder"].iter().any(|name| user.ends_with(name));
    is_ours && entry.is_write() && !entry.is_lease() && !is_heartbeat
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_writes_of_ours_are_late() {
        let entry = |user: &str, verb: &str, resource: &str| {
            let entry: AuditEntry = serde_json::from_value(json!({
                "auditID": "a", "verb": verb, "user": {"username": user},
                "objectRef": {"resource": resource}, "requestReceivedTimestamp": "2026-01-01T00:00:00Z",
            }))
            .unwrap();
            is_late(&entry)
        };
        let konnector = "system:serviceaccount:kube-bind:konnector";
        assert!(entry(konnector, "patch", "cowboys"));
        assert!(entry("system:serviceaccount:kube-bind-acme:kube-binder", "create", "events"));
        assert!(!entry(konnector, "get", "cowboys"));
        assert!(!entry(konnector, "update", "leases"));
        assert!(!entry(konnector, "patch", "clusterbindings"));
        assert!(!entry("admin", "patch", "cowboys"));
        assert!(!entry("system:serviceaccount:kube-system:konnector-eater", "patch", "cowboys"));
    }

    #[test]
    fn an_excuse_holds_for_its_kind_and_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let window = Window { plural: Some("wagons"), since: at(5), until: Some(at(9)) };
        let cases = [
            ("wagons", 6, true),
            ("secrets", 6, true),
            ("cowboys", 6, false),
            ("wagons", 4, false),
            ("wagons", 10, false),
        ];
        for (plural, second, expected) in cases {
            assert_eq!(window.has(at(second), plural), expected, "{plural} {second}");
        }
        assert!(Window { plural: None, until: None, ..window }.has(at(99), "mines"));
    }
}

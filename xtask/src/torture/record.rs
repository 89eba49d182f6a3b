//! The memory of a run: what the audit logs have told so far, what backups have undone, and when nobody could know what
//! was deleted.

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
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

/// Limit for our processes to follow a write of somebody else.
const FOLLOWS_WITHIN: SignedDuration = SignedDuration::from_secs(5);
/// Number of others' writes to one object that are a reason for ours. A certificate that is issued takes half as
/// many.
const TOLERATED: usize = 40;

/// Knowledge about one side.
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
        self.track(side).events.push(Event::Restored { objects, at: clock::precise_now() });
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
            // Nor is a deletion that is under way by then carried on with.
            users.given_up_at(uid).is_some_and(|(at, plural)| {
                let times = [Some(*at), users.let_go_at(uid)];
                times.into_iter().flatten().any(|at| self.windows.iter().any(|window| window.has(at, plural)))
            })
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
        let entries = log.take_since(&mut track.mark)?;
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

/// Reads the writes on both sides after these places.
pub(super) fn written(world: &World, marks: [Mark; 2]) -> Result<Vec<(Side, AuditEntry)>> {
    let mut all = Vec::new();
    for (side, mark) in [Side::Consumer, Side::Provider].into_iter().zip(marks) {
        let entries = world.plane(side).audit().entries_since(mark)?;
        all.extend(entries.into_iter().filter(AuditEntry::is_write).map(|entry| (side, entry)));
    }
    Ok(all)
}

/// Finds writes of our processes, leases and heartbeats apart, that nobody else gave them a reason for.
pub(super) fn late_writes(written: &[(Side, AuditEntry)]) -> Findings {
    let mut findings = Findings::default();
    for (side, entry) in written.iter().filter(|(_, entry)| is_late(entry) && !has_cause(written, entry)) {
        findings.add(Name::LateWrites, format_args!("{side:?}: {}", entry.line()));
    }
    findings
}

/// Returns `true` if somebody else has just written an object of this name: a controller of the provider tries again
/// after minutes what failed during the run. Who writes the same object again and again is an opponent, no reason.
fn has_cause(written: &[(Side, AuditEntry)], entry: &AuditEntry) -> bool {
    let name = name_of(entry);
    let is_of_it = |other: &AuditEntry| !is_ours(other) && name.is_some() && name_of(other) == name;
    let others: Vec<_> = written.iter().filter(|(_, other)| is_of_it(other)).collect();
    let is_just_before = |(_, other): &&(Side, AuditEntry)| {
        let since = entry.received.duration_since(other.received);
        !since.is_negative() && since <= FOLLOWS_WITHIN
    };
    others.len() <= TOLERATED && others.into_iter().any(|other| is_just_before(&other))
}

/// The name that an object, its copies and what controllers make of it have in common.
fn name_of(entry: &AuditEntry) -> Option<&str> {
    let asked = entry.object_ref.as_ref().map(|at| at.name.as_str()).filter(|name| !name.is_empty());
    // A path that creates has no name in it.
    let name = asked.or_else(|| entry.response_object.as_ref()?["metadata"]["name"].as_str())?;
    let own = name.rsplit_once(&format!("{}-", contract())).map_or(name, |(_, own)| own);
    Some(own.split_once('-').map_or(own, |(base, _)| base))
}

pub(super) fn is_late(entry: &AuditEntry) -> bool {
    let is_heartbeat = entry.object_ref.as_ref().is_some_and(|at| at.resource == "clusterbindings");
    is_ours(entry) && entry.is_write() && !entry.is_lease() && !is_heartbeat
}

fn is_ours(entry: &AuditEntry) -> bool {
    let user = entry.user.username.strip_prefix("system:serviceaccount:").unwrap_or_default();
    [":konnector", ":provider", ":kube-binder"].iter().any(|name| user.ends_with(name))
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
    fn a_write_that_follows_somebody_elses_has_a_reason() {
        let entry = |user: &str, name: &str, second: i64| {
            let entry = json!({
                "auditID": "a", "verb": "patch", "user": {"username": user},
                "objectRef": {"resource": "certificates", "name": name},
                "requestReceivedTimestamp": Timestamp::from_second(second).unwrap(),
            });
            (Side::Provider, serde_json::from_value::<AuditEntry>(entry).unwrap())
        };
        let ours = "system:serviceaccount:kube-bind:konnector";
        let copy = format!("{}-n1", contract());
        let table = [
            (vec![entry(ours, "n1", 20)], 1),
            (vec![entry("issuer", "n1-tls", 18), entry(ours, "n1", 20)], 0),
            (vec![entry("issuer", &copy, 18), entry(ours, "n1-tls", 20)], 0),
            (vec![entry("issuer", "n2", 18), entry(ours, "n1", 20)], 1),
            (vec![entry("issuer", "n1", 10), entry(ours, "n1", 20)], 1),
            (vec![entry("issuer", "n1", 21), entry(ours, "n1", 20)], 1),
            (vec![entry(ours, "n1", 19), entry(ours, "n1", 20)], 2),
        ];
        for (number, (written, expected)) in table.iter().enumerate() {
            assert_eq!(late_writes(written).iter().count(), *expected, "{number}");
        }
        let fight: Vec<_> =
            (0..60).flat_map(|second| [entry("issuer", "n1", second), entry(ours, "n1", second)]).collect();
        assert_eq!(late_writes(&fight).iter().count(), 60);
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

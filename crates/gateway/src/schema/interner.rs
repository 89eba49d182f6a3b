//! Types that clusters have in common are kept in memory once.

use apollo_compiler::{
    Name, Schema,
    collections::{HashMap, IndexMap},
    schema::ExtendedType,
};
use parking_lot::Mutex;

/// The types of all endpoints, by name.
#[derive(Debug, Default)]
pub struct TypeInterner(Mutex<HashMap<Name, Vec<ExtendedType>>>);

impl TypeInterner {
    /// Replaces types by known equal ones, and remembers the others.
    pub fn share(&self, types: &mut IndexMap<Name, ExtendedType>) {
        let mut known = self.0.lock();
        for (name, ty) in types {
            if ty.is_built_in() {
                continue;
            }
            let same_name = known.entry(name.clone()).or_default();
            match same_name.iter().find(|other| *other == ty) {
                Some(other) => *ty = other.clone(),
                None => same_name.push(ty.clone()),
            }
        }
    }

    /// Drops types that none of these schemas has.
    pub fn keep<'a>(&self, schemas: impl Iterator<Item = &'a Schema>) {
        let mut kept: HashMap<Name, Vec<ExtendedType>> = HashMap::default();
        for schema in schemas {
            for (name, ty) in schema.types.iter().filter(|(_, ty)| !ty.is_built_in()) {
                let same_name = kept.entry(name.clone()).or_default();
                if !same_name.iter().any(|other| is_same(other, ty)) {
                    same_name.push(ty.clone());
                }
            }
        }
        *self.0.lock() = kept;
    }

    /// The number of types.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.lock().values().map(Vec::len).sum()
    }
}

/// Returns `true` if two types are the same in memory.
fn is_same(a: &ExtendedType, b: &ExtendedType) -> bool {
    match (a, b) {
        (ExtendedType::Object(a), ExtendedType::Object(b)) => a.ptr_eq(b),
        (ExtendedType::InputObject(a), ExtendedType::InputObject(b)) => a.ptr_eq(b),
        (ExtendedType::Scalar(a), ExtendedType::Scalar(b)) => a.ptr_eq(b),
        (ExtendedType::Enum(a), ExtendedType::Enum(b)) => a.ptr_eq(b),
        _ => false,
    }
}

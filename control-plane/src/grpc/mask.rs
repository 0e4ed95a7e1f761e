//! Update masks: what a change of some fields makes of a whole message.
//!
//! Works on the descriptors, so that every noun has the same rules.

use std::sync::LazyLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
};
use prost_types::FieldMask;
use switchyard_proto::DESCRIPTORS;

use crate::domain::invalid::Invalid;

static POOL: LazyLock<DescriptorPool> =
    LazyLock::new(|| DescriptorPool::decode(DESCRIPTORS).expect("the build compiled them"));

/// A change of some fields of a message.
pub struct Masked<'a, T> {
    /// Name of the message, e.g. `Key`.
    pub message: &'static str,
    pub patch: &'a T,
    /// Absent or without paths: the fields that are set in `patch`.
    pub mask: Option<&'a FieldMask>,
    /// Fields that the server sets or that never change; named in a mask they are refused, else passed over.
    pub fixed: &'static [&'static str],
}

impl<T: Message + Default> Masked<'_, T> {
    /// What the change makes of `current`. A path `*` stands for every field.
    ///
    /// # Errors
    /// A path that names no field, or one that the server sets.
    pub fn over(&self, current: &T) -> Result<T, Invalid> {
        let descriptor = POOL
            .get_message_by_name(&format!("switchyard.v1.{}", self.message))
            .expect("the callers name messages of the protos");
        let mut merged = dynamic(&descriptor, current);
        let patch = dynamic(&descriptor, self.patch);
        for path in self.paths(&descriptor, &patch)? {
            copy(&mut merged, &patch, &path).map_err(|reason| self.bad_path(&path.join("."), &reason))?;
        }
        Ok(T::decode(merged.encode_to_vec().as_slice()).expect("the same message"))
    }

    /// Whether the mask names a field itself.
    pub fn names(&self, field: &str) -> bool {
        self.mask.is_some_and(|mask| mask.paths.iter().any(|path| path == field))
    }

    fn paths(
        &self,
        descriptor: &MessageDescriptor,
        patch: &DynamicMessage,
    ) -> Result<Vec<Vec<String>>, Invalid> {
        let chosen = |field: &FieldDescriptor| !self.fixed.contains(&field.name());
        let whole = |field: FieldDescriptor| vec![field.name().to_owned()];
        let mut paths = Vec::new();
        match self.mask.map_or(&[][..], |mask| &mask.paths) {
            [] => paths
                .extend(descriptor.fields().filter(chosen).filter(|field| patch.has_field(field)).map(whole)),
            [star] if star == "*" => paths.extend(descriptor.fields().filter(chosen).map(whole)),
            named => {
                for path in named {
                    let parts: Vec<String> = path.split('.').map(str::to_owned).collect();
                    let first =
                        field(descriptor, &parts[0]).map_err(|reason| self.bad_path(path, &reason))?;
                    if !chosen(&first) {
                        return Err(self.bad_path(path, "is set by the server"));
                    }
                    paths.push(parts);
                }
            }
        }
        Ok(paths)
    }

    fn bad_path(&self, path: &str, reason: &str) -> Invalid {
        Invalid::new("update_mask", format!("names `{path}` of {}, which {reason}", self.message))
    }
}

fn dynamic<T: Message>(descriptor: &MessageDescriptor, message: &T) -> DynamicMessage {
    DynamicMessage::decode(descriptor.clone(), message.encode_to_vec().as_slice()).expect("the same message")
}

/// A field by its name, or by its JSON name.
fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message
        .get_field_by_name(name)
        .or_else(|| message.get_field_by_json_name(name))
        .ok_or_else(|| "does not exist".to_owned())
}

fn copy(to: &mut DynamicMessage, from: &DynamicMessage, path: &[String]) -> Result<(), String> {
    let (name, rest) = path.split_first().ok_or("is empty")?;
    let field = field(&to.descriptor(), name)?;
    if rest.is_empty() {
        match from.has_field(&field) {
            true => to.set_field(&field, from.get_field(&field).into_owned()),
            false => to.clear_field(&field),
        }
        return Ok(());
    }
    if field.is_list() || field.is_map() || !matches!(field.kind(), Kind::Message(_)) {
        return Err("has no fields of its own".to_owned());
    }
    let inner = from.get_field(&field);
    let inner = inner.as_message().ok_or("has no fields of its own")?;
    let target = to.get_field_mut(&field).as_message_mut().ok_or("has no fields of its own")?;
    copy(target, inner, rest)
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1::{Key, Rates, Reset, SpendLimit};

    use super::*;

    const FIXED: &[&str] = &["id", "revision"];

    fn current() -> Key {
        Key {
            id: "key_1".into(),
            name: "ci".into(),
            disabled: true,
            limit: Some(SpendLimit { usd: "5".into(), reset: Reset::Daily.into() }),
            allowed_models: vec!["a/b".into()],
            revision: 7,
            ..Default::default()
        }
    }

    fn check(patch: &Key, paths: Option<&[&str]>, expected: Result<Key, &str>) {
        let mask =
            paths.map(|paths| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let change = Masked { message: "Key", patch, mask: mask.as_ref(), fixed: FIXED };
        let found = change.over(&current());
        assert_eq!(
            found.as_ref().map_err(|invalid| invalid.to_string()),
            expected.as_ref().map_err(|text| (*text).to_owned()),
            "{paths:?}"
        );
    }

    #[test]
    fn without_a_mask_what_is_set_is_taken() {
        let patch = Key { id: "key_2".into(), name: "cd".into(), revision: 3, ..Default::default() };
        check(&patch, None, Ok(Key { name: "cd".into(), ..current() }));
        check(&patch, Some(&[]), Ok(Key { name: "cd".into(), ..current() }));
    }

    #[test]
    fn with_a_mask_what_is_named_is_taken_also_when_it_is_empty() {
        let patch = Key { name: "cd".into(), ..Default::default() };
        check(&patch, Some(&["disabled", "limit"]), Ok(Key { disabled: false, limit: None, ..current() }));
        check(&patch, Some(&["allowedModels"]), Ok(Key { allowed_models: vec![], ..current() }));
        let whole = Key { id: "key_1".into(), name: "cd".into(), revision: 7, ..Default::default() };
        check(&patch, Some(&["*"]), Ok(whole));
    }

    #[test]
    fn a_path_reaches_into_messages() {
        let limit = |usd: &str, reset: Reset| Some(SpendLimit { usd: usd.into(), reset: reset.into() });
        let patch = Key {
            limit: limit("6", Reset::Never),
            rates: Some(Rates { concurrency: Some(2), ..Default::default() }),
            ..Default::default()
        };
        check(&patch, Some(&["limit.usd"]), Ok(Key { limit: limit("6", Reset::Daily), ..current() }));
        check(&patch, Some(&["rates.concurrency"]), Ok(Key { rates: patch.rates, ..current() }));
    }

    #[test]
    fn paths_that_lead_nowhere_are_named() {
        let patch = Key::default();
        for (path, reason) in [
            ("colour", "update_mask names `colour` of Key, which does not exist"),
            ("limit.colour", "update_mask names `limit.colour` of Key, which does not exist"),
            ("name.first", "update_mask names `name.first` of Key, which has no fields of its own"),
            ("revision", "update_mask names `revision` of Key, which is set by the server"),
            ("", "update_mask names `` of Key, which does not exist"),
        ] {
            check(&patch, Some(&[path]), Err(reason));
        }
    }
}

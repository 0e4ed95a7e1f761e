//! The protos' comments: what is said there about a call, a message or a field is what the API's description says.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{
    EnumDescriptor, EnumValueDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};

use crate::rest::operation::pool;

/// Comments by file and place.
static COMMENTS: LazyLock<HashMap<(String, Vec<i32>), String>> = LazyLock::new(read);

/// Fields that are the server's without a comment that says so.
const STAMPS: [&str; 3] = ["created_at", "updated_at", "last_used_at"];

/// What can carry a comment.
pub(super) trait Documented {
    fn place(&self) -> (String, Vec<i32>);

    /// The comment, as one paragraph; empty if there is none.
    fn comment(&self) -> &'static str {
        COMMENTS.get(&self.place()).map_or("", String::as_str)
    }
}

macro_rules! documented {
    ($($descriptor:ident),*) => {$(
        impl Documented for $descriptor {
            fn place(&self) -> (String, Vec<i32>) {
                (self.parent_file().name().to_owned(), self.path().to_vec())
            }
        }
    )*};
}

documented!(
    MessageDescriptor,
    FieldDescriptor,
    EnumDescriptor,
    EnumValueDescriptor,
    MethodDescriptor,
    ServiceDescriptor
);

/// Whether callers only read a field.
pub(super) fn is_set_by_server(field: &FieldDescriptor) -> bool {
    let comment = field.comment();
    comment.contains("Set by ") || comment.contains("Output only") || STAMPS.contains(&field.name())
}

/// Whether a field goes in and never comes back.
pub(super) fn is_input_only(field: &FieldDescriptor) -> bool {
    field.comment().contains("Input only")
}

fn read() -> HashMap<(String, Vec<i32>), String> {
    let mut comments = HashMap::new();
    for file in pool().file_descriptor_protos() {
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            let text = location.leading_comments().trim();
            if !text.is_empty() {
                comments.insert((file.name().to_owned(), location.path.clone()), paragraph(text));
            }
        }
    }
    comments
}

fn paragraph(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_at_their_places() {
        let key = pool().get_message_by_name("switchyard.v1.Key").unwrap();
        assert_eq!(key.get_field_by_name("name").unwrap().comment(), "Unique in its tenant.");
        assert!(is_set_by_server(&key.get_field_by_name("hash").unwrap()));
        assert!(is_set_by_server(&key.get_field_by_name("created_at").unwrap()));
        assert!(!is_set_by_server(&key.get_field_by_name("disabled").unwrap()));
        let provider = pool().get_message_by_name("switchyard.v1.Provider").unwrap();
        assert!(is_input_only(&provider.get_field_by_name("credential").unwrap()));
    }
}

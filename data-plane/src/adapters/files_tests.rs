//! What each adapter says of files is what its encoding does.

use bytes::Bytes;
use serde_json::json;

use crate::adapters::{ADAPTERS, Target};
use crate::api::openai_chat::decode;
use crate::model::file::FileType;
use crate::model::media::NOTHING;
use crate::model::parameter::Parameters;

/// A usual file of each kind that a prompt can hold. The bytes are valid text, so that nothing is refused for them.
const USUAL: [(FileType, &str); 7] = [
    (FileType::Pdf, "application/pdf"),
    (FileType::Text, "text/plain"),
    (FileType::Office, "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (FileType::Image, "image/png"),
    (FileType::Audio, "audio/mp3"),
    (FileType::Video, "video/mp4"),
    (FileType::Other, "application/zip"),
];

/// Files that the encoding judges more finely than by kind: taken, or refused after all.
const FINER: [(FileType, &str); 4] = [
    (FileType::Text, "application/xml"),
    (FileType::Office, "application/msword"),
    (FileType::Image, "image/heic"),
    (FileType::Unknown, "application/octet-stream"),
];

fn is_encoded(name: &str, media_type: &str) -> (FileType, bool) {
    let file = json!({"type": "file", "file": {"file_data": format!("data:{media_type};base64,aGVsbG8=")}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [file]}]});
    let request = decode(Bytes::from(body.to_string())).expect("the request is well-formed");
    let kinds: Vec<FileType> = request.facts.file_types.iter().collect();
    let [kind] = kinds.as_slice() else { panic!("one file is of one kind: {kinds:?}") };
    let adapter = crate::adapters::by_name(name).expect("it is in the list");
    let quirks = adapter.quirks();
    let target = Target {
        model: "m",
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &NOTHING,
        supported: Parameters::NONE,
        tier: None,
    };
    (*kind, adapter.encode(&request, &target).is_ok())
}

#[test]
fn an_adapter_takes_the_kinds_of_files_that_it_says_it_takes_and_no_others() {
    for adapter in ADAPTERS {
        for (kind, media_type) in USUAL {
            let expected = (kind, adapter.files().contains(kind));
            assert_eq!(is_encoded(adapter.name(), media_type), expected, "{} {media_type}", adapter.name());
        }
    }
}

#[test]
fn no_file_that_an_adapter_can_encode_is_of_a_kind_that_it_says_it_refuses() {
    for adapter in ADAPTERS {
        for (kind, media_type) in FINER {
            let (told, is_encoded) = is_encoded(adapter.name(), media_type);
            assert_eq!(told, kind, "{media_type}");
            assert!(!is_encoded || adapter.files().contains(kind), "{} {media_type}", adapter.name());
        }
    }
}

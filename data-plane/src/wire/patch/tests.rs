//! Objects before and after their patches.

use serde_json::Value;

use super::*;

fn applied(patch: &Patch<'_>, text: &str) -> String {
    let mut out = BytesMut::new();
    patch.apply(text.as_bytes(), &mut out).unwrap_or_else(|_| panic!("{text} is an object"));
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

#[test]
fn sets_replaces_and_removes_and_leaves_the_rest_byte_for_byte() {
    let patch = || Patch::new().set_str("model", "new").remove("provider").set("n", b"2".as_slice());
    for (text, expected) in [
        (r#"{}"#, r#"{"model":"new","n":2}"#),
        (r#" { } "#, r#"{"model":"new","n":2}"#),
        (r#"{"model":"old"}"#, r#"{"model":"new","n":2}"#),
        (r#"{"provider":{"a":[1,{"b":"}"}]},"x" : [1, 2]}"#, r#"{"x" : [1, 2],"model":"new","n":2}"#),
        (r#"{"n":1,"model":"a","n":7,"model":"b"}"#, r#"{"n":2,"model":"new"}"#),
        (r#"{"x":"\"},{\\","y":"a\\\"","model":null}"#, r#"{"x":"\"},{\\","y":"a\\\"","model":"new","n":2}"#),
        (r#"{"mod\u0065l":"old","\u006e":1}"#, r#"{"model":"new","n":2}"#),
        (r#"{"x":1.5e3,"y":true,"provider":null}"#, r#"{"x":1.5e3,"y":true,"model":"new","n":2}"#),
        (r#"{"x":1,"x":2,"\u0078":3}"#, r#"{"\u0078":3,"model":"new","n":2}"#),
    ] {
        assert_eq!(applied(&patch(), text), expected, "{text}");
    }
}

#[test]
fn many_members_keep_their_last_values() {
    let members: Vec<_> = (0..1000).map(|n| format!(r#""k{}":{n}"#, n % 300)).collect();
    let text = format!("{{{}}}", members.join(","));
    let patched = applied(&Patch::new().remove("k7"), &text);
    let mut expected: Value = serde_json::from_str(&text).expect("JSON");
    expected.as_object_mut().expect("object").shift_remove("k7");
    assert_eq!(serde_json::from_str::<Value>(&patched).expect("JSON"), expected);
    assert_eq!(super::members(patched.as_bytes()).expect("object").len(), 299);
}

#[test]
fn nulls_can_go_without_being_named() {
    let patch = Patch::new().without_nulls().set("b", b"null".as_slice());
    assert_eq!(applied(&patch, r#"{"a":null,"b":1,"c":[null]}"#), r#"{"b":null,"c":[null]}"#);
}

#[test]
fn what_is_no_object_is_refused_and_writes_nothing() {
    for text in [
        "",
        "[]",
        "null",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":\"x}",
        "{}x",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":[1}",
    ] {
        let mut out = BytesMut::new();
        let refused = Patch::new().remove("a").apply(text.as_bytes(), &mut out);
        assert_eq!((refused, out.len()), (Err(NotAnObject), 0), "{text}");
    }
}

#[test]
fn every_cut_of_an_object_is_refused_without_panic() {
    let text = r#"{"a":{"b":["x\"",{"c":[]}]},"\u00e9":"\\","d":12}"#;
    for end in 0..text.len() {
        if text.is_char_boundary(end) {
            assert!(members(&text.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn members_and_elements_are_found_by_range() {
    let text = br#" {"a" : "x", "b":[ 1, "]" ,{"c":2} , [] ] } "#;
    assert_eq!(member(text, "a"), Some(&b"\"x\""[..]));
    let list = member(text, "b").expect("there");
    let found: Vec<_> =
        elements(list).expect("an array").into_iter().map(|range| list[range].to_vec()).collect();
    assert_eq!(found, [&b"1"[..], b"\"]\"", b"{\"c\":2}", b"[]"]);
    assert_eq!(member(text, "c"), None);
    assert_eq!(elements(b"[]"), Ok(vec![]));
}

#[test]
fn a_patched_object_means_what_it_should() {
    let text =
        r#"{"messages":[{"role":"user","content":"\\\" {[ grüße \ud83e\udd80"}],"model":"m","stream":true}"#;
    let patched = applied(&Patch::new().set_str("model", "a\"b\\").remove("stream"), text);
    let mut expected: Value = serde_json::from_str(text).expect("JSON");
    expected["model"] = Value::from("a\"b\\");
    expected.as_object_mut().expect("object").shift_remove("stream");
    assert_eq!(serde_json::from_str::<Value>(&patched).expect("JSON"), expected);
}

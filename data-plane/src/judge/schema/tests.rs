//! Schemas as tables: what is refused and why, what texts fit, and what hostile ones cannot do.

use serde_json::{Map, Value, json};

use super::Schema;

/// The refusal of a schema; empty where it can be used.
fn refusal(schema: &Value) -> String {
    Schema::compile(&schema.to_string()).err().map(|error| error.to_string()).unwrap_or_default()
}

#[track_caller]
fn check(schema: Value, text: &str, expected: Option<&str>) {
    let compiled = Schema::compile(&schema.to_string()).expect("the schema is good");
    assert_eq!(compiled.misfit(text).as_deref(), expected, "{text}");
}

#[test]
fn a_misfit_is_told_by_place_and_rule_and_never_by_value() {
    let schema = json!({
        "type": "object",
        "properties": {"a/b": {"items": {"enum": ["x"]}}, "n": {"minimum": 3}},
        "additionalProperties": false,
    });
    for (text, expected) in [
        (r#"{"a/b":["x"],"n":3}"#, None),
        (r#"{"a/b":["x","secret"]}"#, Some("/a~1b/1 (enum)")),
        (r#"{"n":2}"#, Some("/n (minimum)")),
        (r#"{"secret":2}"#, Some("/ (additionalProperties)")),
        ("[]", Some("/ (type)")),
    ] {
        check(schema.clone(), text, expected);
    }
}

#[test]
fn a_schema_that_cannot_be_used_says_where_it_is_wrong() {
    let old = "http://json-schema.org/draft-04/schema#";
    for (schema, expected) in [
        (json!(true), ""),
        (json!({"$schema": old, "minimum": 1, "exclusiveMinimum": true}), ""),
        (
            json!({"minimum": 1, "exclusiveMinimum": true}),
            "/exclusiveMinimum: breaks the rules for schemas (`type`)",
        ),
        (json!(7), "/: breaks the rules for schemas (`type`)"),
        (
            json!({"properties": {"a": {"minLength": -1}}}),
            "/properties/a/minLength: breaks the rules for schemas (`minimum`)",
        ),
        (
            json!({"$schema": "http://example.com/own"}),
            "it uses `$schema` or another reference that is not known here",
        ),
        (json!({"multipleOf": 0}), "/multipleOf: breaks the rules for schemas (`exclusiveMinimum`)"),
        (json!({"$defs": {"a": {"$id": "b"}}}), "an `$id` below its root is not supported"),
        (json!({"properties": {"$id": {}, "id": {"const": {"id": "x"}}}}), ""),
    ] {
        assert_eq!(refusal(&schema), expected, "{schema}");
    }
    let refused = Schema::compile("{\"a\":").expect_err("it is cut off");
    assert_eq!(refused.to_string(), "it is not JSON, at line 1, column 5, or nested too deeply");
    let long = format!("\"{}\"", "x".repeat(super::MAX_SCHEMA));
    assert_eq!(Schema::compile(&long).expect_err("it is too long"), super::SchemaError::TooLarge);
}

#[test]
fn references_stay_within_the_schema() {
    let names_nothing = |reference: &str| {
        format!("`{reference}` names nothing in the schema, or two things, and nothing outside is read")
    };
    for reference in [
        "http://127.0.0.1:9/x",
        "file:///etc/passwd",
        "x.json",
        "#/nope",
        "#nope",
        "#/%",
        "#/%zz",
        "http://json-schema.org/draft-07/schema#",
    ] {
        assert_eq!(refusal(&json!({"$ref": reference})), names_nothing(reference));
    }
    let defs = json!({"a<b>/c~d": {"type": "string"}, "x": {"$anchor": "named", "type": "string"}});
    for reference in ["#/$defs/a%3Cb%3E~1c~0d", "#named", "urn:own#named"] {
        let schema = json!({"$id": "urn:own", "$defs": defs, "properties": {"p": {"$ref": reference}}});
        check(schema.clone(), r#"{"p":1}"#, Some("/p (type)"));
        check(schema, r#"{"p":""}"#, None);
    }
    let twice = json!({"$ref": "#a", "$defs": {"x": {"$anchor": "a"}, "y": {"$anchor": "a"}}});
    assert_eq!(refusal(&twice), names_nothing("#a"));
}

#[test]
fn a_schema_may_refer_to_itself_only_to_go_deeper() {
    let endless = "it refers to itself without going deeper";
    let round = json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}});
    for schema in [json!({"$ref": "#"}), json!({"allOf": [{"$ref": "#"}]}), round] {
        assert_eq!(refusal(&schema), endless);
    }
    let tree =
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false});
    check(tree.clone(), r#"{"next":{"next":{}}}"#, None);
    check(tree, r#"{"next":{"next":{"secret":1}}}"#, Some("somewhere below /"));
}

/// Definitions that each lead to the next one twice.
fn doubling(steps: usize, wrap: fn(Value) -> Value) -> Value {
    let mut defs = Map::new();
    for step in 0..steps {
        let next = json!({"$ref": format!("#/$defs/a{}", step + 1)});
        defs.insert(format!("a{step}"), wrap(json!({"allOf": [next, next]})));
    }
    defs.insert(format!("a{steps}"), json!({"type": "string"}));
    json!({"$ref": "#/$defs/a0", "$defs": defs})
}

#[test]
fn schemas_that_a_short_text_could_keep_busy_for_hours_are_refused() {
    let too_much = "it unfolds to too many schemas";
    let too_deep = "its schemas stand too deeply within each other";
    let within = |schema: Value| json!({"properties": {"x": schema}});
    assert_eq!(refusal(&doubling(5, |schema| schema)), "");
    assert_eq!(refusal(&doubling(30, |schema| schema)), too_much);
    assert_eq!(refusal(&doubling(30, within)), too_much);
    assert_eq!(refusal(&doubling(500, within)), too_deep);
    let again = (0..40).fold(
        json!({"type": "string"}),
        |inner, _| json!({"allOf": [inner], "unevaluatedProperties": false}),
    );
    assert_eq!(refusal(&again), too_much);
    let nested = (0..120).fold(json!({}), |inner, _| json!({"not": inner}));
    assert_eq!(refusal(&nested), "");
}

#[test]
fn recursion_that_doubles_is_bounded_for_deep_texts() {
    let node = json!({"$ref": "#/$defs/n"});
    let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"c": {"anyOf": [node, node]}}, "required": ["c"]}}});
    let deep = |levels: usize| format!("{}{{}}{}", "{\"c\":".repeat(levels), "}".repeat(levels));
    check(tree.clone(), &deep(40), Some("somewhere below /"));
    check(tree.clone(), &deep(125), Some("somewhere below /"));
    let chain = (0..20).fold(node, |inner, _| json!({"allOf": [inner]}));
    let slow = json!({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"c": chain}}}});
    check(slow.clone(), &deep(10), None);
    check(slow, &deep(125), Some("nested too deeply"));
    let mut defs = Map::new();
    let any: Vec<Value> = (0..8).map(|other| json!({"$ref": format!("#/$defs/a{other}")})).collect();
    for one in 0..8 {
        defs.insert(format!("a{one}"), json!({"properties": {"c": {"anyOf": any}}, "required": ["c"]}));
    }
    let mutual = json!({"$ref": "#/$defs/a0", "$defs": defs});
    check(mutual, &deep(20), Some("somewhere below /"));
    // As deep as it may be, on the small stack of a test's thread.
    let full = json!({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"c": {"allOf": [{"$ref": "#/$defs/n"}]}}}}});
    check(full, &deep(125), None);
}

#[test]
fn patterns_take_time_linear_in_the_text() {
    let long = format!("\"{}!\"", "a".repeat(100_000));
    for pattern in ["^(a+)+$", "^(a|a)*$", "^(a*)*b", "(.*)*x"] {
        check(json!({"pattern": pattern}), &long, Some("/ (pattern)"));
    }
    for pattern in ["(?=a)a", "(?<!a)b", r"(a)\1", "((x{1000}){1000}){9}", "["] {
        let refused = refusal(&json!({"properties": {"p": {"pattern": pattern}}}));
        assert!(refused.contains("/properties/p/pattern: "), "{pattern}: {refused}");
    }
    check(json!({"pattern": "^.{1,100}$"}), "\"ab\"", None);
    check(json!({"patternProperties": {"^x-": {"type": "string"}}}), r#"{"x-a":1}"#, Some("/x-a (type)"));
}

#[test]
fn hostile_texts_do_not_fit_and_do_no_harm() {
    let unread = Some("no JSON value, or one that is nested too deeply or holds too large a number");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in ["1e400", r#""\ud800""#, r#""\udc00\ud800""#, "", "{", &deep] {
        check(json!({}), text, unread);
    }
    for (schema, text) in [
        (json!({"multipleOf": 1e-300}), "1e300"),
        (json!({"multipleOf": 0.01}), "99999999999999999999999999999999999999"),
        (json!({"maximum": 1e308, "type": "number"}), "-18446744073709551616"),
        (json!({"type": "string"}), r#""\ud83d\ude00\u0000""#),
        (json!({"maxLength": 1}), r#""😀""#),
        (json!({"minLength": 18446744073709551615u64, "type": "string"}), "\"\""),
        (json!({"format": "email"}), "\"nobody\""),
    ] {
        let compiled = Schema::compile(&schema.to_string()).expect("the schema is good");
        let misfit = compiled.misfit(text);
        assert!(misfit.is_none_or(|misfit| misfit.starts_with("/ (")), "{schema} {text}");
    }
    let large = format!("\"{}\"", "x".repeat(super::MAX_TEXT));
    check(json!({}), &large, Some("larger than 1048576 bytes"));
    check(json!({"pattern": "x"}), &large, Some("larger than 262144 bytes"));
    let key = "k".repeat(10_000);
    let long = format!("/{}", "k".repeat(199));
    check(
        json!({"additionalProperties": false, "patternProperties": {"k": {"type": "null"}}}),
        &format!("{{\"{key}\":1}}"),
        Some(&format!("{long} (type)")),
    );
}

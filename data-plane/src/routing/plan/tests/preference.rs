//! Preferences and capabilities that the vectors do not name.

use serde_json::json;

use crate::routing::health::{Band, Quantiles, Reading};
use crate::routing::tests::{excluded, fast, order, out, tools, world};

#[test]
fn slugs_mean_a_provider_or_one_of_its_endpoints() {
    let world = world(&[("m", "deepinfra", "1"), ("m", "vertex", "2")])
        .provider("vertex", |row| {
            (row.region, row.display_name) = ("us-east5".into(), "Google Vertex".into())
        })
        .at("deepinfra", |row| row.quantization = "fp8".into());
    for (slug, expected) in [
        ("vertex", "m@vertex"),
        ("VERTEX", "m@vertex"),
        ("Google Vertex", "m@vertex"),
        ("vertex/us-east5", "m@vertex"),
        ("deepinfra/fp8", "m@deepinfra"),
        ("deepinfra/deepinfra", "m@deepinfra"),
    ] {
        assert_eq!(world.ask(json!({"provider": {"only": [slug]}})).order(), [expected], "{slug}");
    }
    for slug in ["vertex/eu", "deepinfra/", "deep"] {
        let error = world.ask(json!({"provider": {"only": [slug]}})).refusal();
        assert_eq!(error.code.status(), 404, "{slug}");
    }
}

#[test]
fn a_tool_that_must_be_called_needs_an_endpoint_that_can_force_it() {
    let world = world(&[("m", "all", "9"), ("m", "some", "1"), ("m", "none", "1")])
        .at("all", |row| row.supported_parameters = vec!["tools".into(), "tool_choice".into()])
        .at("some", |row| row.supported_parameters = vec!["tools".into()])
        .at("none", |row| row.supported_parameters = vec!["temperature".into()]);
    let forced = world.ask(json!({"tools": tools(), "tool_choice": "required"})).plan().unwrap();
    assert_eq!(order(&forced), ["m@all"]);
    assert_eq!(excluded(&forced), [("none".to_owned(), "tools"), ("some".to_owned(), "tool_choice")]);
    let offered = world.ask(json!({"tools": tools(), "provider": {"sort": "price"}})).plan().unwrap();
    assert_eq!(order(&offered), ["m@some", "m@all"]);
}

#[test]
fn what_would_be_lost_decides_before_price() {
    let world = world(&[("m", "full", "9"), ("m", "bare", "1")])
        .at("full", |row| {
            row.supported_parameters =
                ["response_format", "structured_outputs", "reasoning"].map(Into::into).to_vec();
        })
        .at("bare", |row| row.supported_parameters = vec!["temperature".into()]);
    let schema = json!({"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}});
    let plan = world.ask(json!({"response_format": schema})).plan().unwrap();
    assert_eq!(order(&plan), ["m@full"]);
    assert_eq!(excluded(&plan), [("bare".to_owned(), "structured_outputs")]);
    for fields in [
        json!({"response_format": {"type": "json_object"}}),
        json!({"reasoning": {"effort": "high"}}),
        json!({"reasoning": {"max_tokens": 100}, "provider": {"sort": "price"}}),
        json!({"reasoning": {"effort": "high"}, "provider": {"order": ["bare"]}}),
    ] {
        assert_eq!(world.ask(fields.clone()).order(), ["m@full", "m@bare"], "{fields}");
    }
    assert_eq!(
        world.ask(json!({"reasoning": {"effort": "none"}, "provider": {"sort": "price"}})).order()[0],
        "m@bare"
    );
}

#[test]
fn latency_is_wished_in_seconds() {
    let after = |p50| Reading {
        latency_ms: Quantiles { samples: 9, p50, ..Quantiles::default() },
        ..Reading::default()
    };
    let world = world(&[("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3")]);
    let ask = world.ask(json!({"provider": {"sort": "price", "preferred_max_latency": 0.5}}));
    let ask = ask.read("a", after(501.0)).read("b", after(500.0));
    assert_eq!(ask.order(), ["m@b", "m@c", "m@a"]);
    let ask = world.ask(json!({"provider": {"sort": "latency"}}));
    assert_eq!(ask.read("a", after(9.0)).read("b", after(3.0)).order(), ["m@b", "m@a", "m@c"]);
}

#[test]
fn health_bands_go_one_behind_the_other() {
    let band = |uptime| Reading { uptime, ..Reading::default() };
    let world = world(&[("m", "bad", "1"), ("m", "degraded", "1"), ("m", "fine", "900")]);
    let ask = world.ask(json!({})).read("bad", band(Band::Bad)).read("degraded", band(Band::Degraded));
    assert_eq!(ask.order(), ["m@fine", "m@degraded", "m@bad"]);
}

#[test]
fn distillable_means_that_the_author_says_so() {
    let world = world(&[("m", "a", "1"), ("n", "a", "1"), ("o", "a", "1")])
        .model("n", |row| row.distillable = Some(false))
        .model("o", |row| row.distillable = Some(true));
    let wish = json!({"models": ["n", "o"], "provider": {"enforce_distillable_text": true}});
    assert_eq!(world.ask(wish).order(), ["o@a"]);
}

#[test]
fn without_fallbacks_the_first_in_line_is_alone_and_ordered_ones_are_not() {
    let world =
        world(&[("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3"), ("n", "a", "1")]).own("k", "a", |_| {});
    let alone = json!({"models": ["n"], "provider": {"sort": "price", "allow_fallbacks": false}});
    assert_eq!(world.ask(alone).order(), ["m@a+k", "m@a"]);
    let listed = json!({"provider": {"order": ["c", "b"], "allow_fallbacks": false}});
    assert_eq!(world.ask(listed).order(), ["m@c", "m@b"]);
}

#[test]
fn the_rest_of_an_order_is_balanced_as_ever() {
    let world = world(&[("m", "a", "1"), ("m", "b", "1"), ("m", "c", "900")]);
    let ask = world.ask(json!({"provider": {"order": ["c"]}})).read("c", out()).read("a", out());
    assert_eq!(ask.order(), ["m@c", "m@b", "m@a"]);
}

#[test]
fn throughput_that_nobody_measured_goes_last() {
    let world = world(&[("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3")]);
    let ask = world.ask(json!({"model": "m:nitro"})).read("c", fast(9.0)).read("b", fast(8.0));
    assert_eq!(ask.order(), ["m@c", "m@b", "m@a"]);
}

#[test]
fn output_that_a_model_does_not_make_is_not_asked_of_it() {
    let world = world(&[("m", "a", "1"), ("n", "a", "1")])
        .model("m", |row| row.output_modalities = vec!["text".into()])
        .model("n", |row| row.output_modalities = vec!["text".into(), "image".into()]);
    let plan = world.ask(json!({"models": ["n"], "modalities": ["text", "image"]})).plan().unwrap();
    assert_eq!(
        (order(&plan), excluded(&plan)),
        (vec!["n@a".to_owned()], vec![("a".to_owned(), "output_modality")])
    );
}

#[test]
fn another_tenants_provider_is_nobodys_to_hear_of() {
    let world = world(&[("m", "a", "1"), ("m", "b", "1")]).provider("b", |row| row.tenant = "globex".into());
    let plan = world.ask(json!({})).plan().unwrap();
    assert_eq!((order(&plan), excluded(&plan)), (vec!["m@a".to_owned()], vec![]));
    let world =
        crate::routing::tests::world(&[("m", "b", "1")]).provider("b", |row| row.tenant = "globex".into());
    let error = world.ask(json!({})).refusal();
    assert_eq!(error.public, "No provider serves `m`.");
    assert_eq!(error.metadata["availability"]["code"], "no_endpoints");
}

#[test]
fn media_that_a_host_refuses_are_not_sent_there() {
    let file = json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg"}});
    let world = world(&[("m", "a", "1"), ("m", "b", "2")]).at("a", |row| {
        row.quirks = vec![switchyard_proto::v1::Quirk { name: "refuse_media".into(), value: "file".into() }];
    });
    let plan = world.ask(json!({"messages": [{"role": "user", "content": [file]}]})).plan().unwrap();
    assert_eq!((order(&plan), excluded(&plan)), (vec!["m@b".to_owned()], vec![("a".to_owned(), "modality")]));
}

#[test]
fn files_are_not_sent_where_their_kind_is_not_read() {
    let providers = ["openai", "anthropic", "bedrock", "cohere", "gemini"];
    let rows: Vec<_> = providers.iter().map(|name| ("m", *name, "1")).collect();
    let world = providers
        .iter()
        .fold(world(&rows), |world, name| world.provider(name, |row| row.adapter = (*name).into()));
    let inline = |media_type: &str| json!({"file_data": format!("data:{media_type};base64,AAAA")});
    for (file, refused) in [
        (inline("text/plain"), &[][..]),
        (inline("application/pdf"), &["cohere"]),
        (inline("application/msword"), &["anthropic", "cohere", "gemini"]),
        (inline("application/zip"), &["anthropic", "bedrock", "cohere", "gemini"]),
        (inline("video/mp4"), &["anthropic", "cohere"]),
        (
            json!({"file_data": "data:application/octet-stream;base64,AAAA", "filename": "a.docx"}),
            &["anthropic", "cohere", "gemini"],
        ),
        (json!({"file_data": "https://x.test/a.docx"}), &[]),
        (json!({"file_id": "file-1"}), &["bedrock", "cohere"]),
    ] {
        let content = json!([{"type": "file", "file": file}]);
        let plan = world.ask(json!({"messages": [{"role": "user", "content": content}]})).plan().unwrap();
        let expected: Vec<_> = refused.iter().map(|name| ((*name).to_owned(), "file_type")).collect();
        assert_eq!(excluded(&plan), expected, "{file}");
    }
    let zip = json!([{"type": "file", "file": inline("application/zip")}]);
    let error = world
        .ask(json!({"provider": {"only": ["cohere"]}, "messages": [{"role": "user", "content": zip}]}))
        .refusal();
    assert!(error.public.contains("cohere: does not read files of the kind other"), "{}", error.public);
}

#[test]
fn verbosity_is_a_soft_wish() {
    let world = world(&[("m", "with", "9"), ("m", "without", "1")])
        .at("with", |row| row.supported_parameters = vec!["verbosity".into()])
        .at("without", |row| row.supported_parameters = vec!["temperature".into()]);
    assert_eq!(world.ask(json!({"verbosity": "low"})).order(), ["m@with", "m@without"]);
    let sorted = json!({"provider": {"sort": "price"}});
    assert_eq!(world.ask(sorted).order(), ["m@without", "m@with"]);
}

#[test]
fn prompt_and_output_must_fit_the_window_together() {
    let world = world(&[("m", "small", "1"), ("m", "large", "2")])
        .at("small", |row| (row.context_length, row.max_output_tokens) = (1_000, 0))
        .at("large", |row| (row.context_length, row.max_output_tokens) = (9_000, 0));
    let plan = world.ask(json!({"max_tokens": 1_000})).plan().unwrap();
    assert_eq!(
        (order(&plan), excluded(&plan)),
        (vec!["m@large".to_owned()], vec![("small".to_owned(), "context_length")])
    );
    assert!(plan.excluded[0].to_string().contains("beside 1000 of output"), "{}", plan.excluded[0]);
    assert_eq!(world.ask(json!({"max_tokens": 900})).order().len(), 2);
    let error = world.ask(json!({"max_tokens": 9_000})).refusal();
    assert_eq!(error.code.error_type(), "context_length_exceeded");
}

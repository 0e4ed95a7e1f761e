//! What every dialect has in common: who has what, batches, and which answers are whole.

use serde_json::{Value, json};

use super::probe_tests::{calls, embedding, play, ranking, read, shown, vectors};
use super::*;
use crate::adapters::ADAPTERS;
use crate::adapters::shared::exchange_tests::recordings;

#[test]
fn adapters_say_what_they_have_besides_chat() {
    let having = |operation| {
        let names = ADAPTERS.iter().filter(|adapter| has(**adapter, operation)).map(|adapter| adapter.name());
        names.collect::<Vec<_>>()
    };
    assert_eq!(having(Operation::Chat).len(), ADAPTERS.len());
    assert_eq!(
        having(Operation::Embeddings),
        ["openai", "openai_responses", "gemini", "vertex", "bedrock", "azure", "mistral", "cohere", "ollama"]
    );
    assert_eq!(having(Operation::Rerank), ["openai", "openai_responses", "cohere"]);
    let request = embedding(&json!({"input": "x"}));
    let refused = calls("anthropic", &request, "up").unwrap_err();
    assert_eq!(refused.message, "model is served by a provider without embeddings");
}

#[test]
fn more_inputs_than_a_provider_takes_become_several_calls_in_order() {
    let texts: Vec<String> = (0..250).map(|at| format!("text {at}")).collect();
    let request = embedding(&json!({ "input": texts }));
    for (adapter, model, list, sizes) in [
        ("cohere", "embed-v4.0", "texts", vec![96, 96, 58]),
        ("mistral", "mistral-embed", "input", vec![128, 122]),
        ("gemini", "gemini-embedding-001", "requests", vec![100, 100, 50]),
        ("bedrock", "cohere.embed-english-v3", "texts", vec![96, 96, 58]),
        ("openai", "text-embedding-3-small", "input", vec![250]),
    ] {
        let calls = calls(adapter, &request, model).unwrap();
        let found: Vec<Vec<Value>> =
            calls.iter().map(|call| shown(call).1[list].as_array().unwrap().clone()).collect();
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), sizes, "{adapter}");
        let all: Vec<&Value> = found.iter().flatten().collect();
        let text = |one: &Value| match one {
            Value::String(text) => text.clone(),
            one => one["content"]["parts"][0]["text"].as_str().unwrap().to_owned(),
        };
        assert_eq!(all.iter().map(|one| text(one)).collect::<Vec<_>>(), texts, "{adapter}");
        for (call, size) in calls.iter().zip(sizes) {
            assert_eq!(call.context.expected, vectors(size), "{adapter}");
        }
    }
    let titan = calls("bedrock", &request, "amazon.titan-embed-text-v2:0").unwrap();
    assert_eq!((titan.len(), shown(&titan[249]).1), (250, json!({"inputText": "text 249"})));
}

#[test]
fn a_batch_of_openais_is_cut_from_the_source_as_it_stands() {
    let texts: Vec<String> = (0..5).map(|at| format!("\u{e9}\" {at}")).collect();
    let request = embedding(&json!({"input": texts, "user": "u"}));
    let Task::Embed(embed) = &request.task else { panic!("embeddings") };
    let batch = Batch { request: &request, embed, first: 2, inputs: &embed.inputs[2..4] };
    let quirks = crate::adapters::Quirks::default();
    let target = Target {
        model: "up",
        output_cap: None,
        stream: false,
        quirks: &quirks,
        fetched: &crate::model::media::NOTHING,
        supported: crate::model::parameter::Parameters::NONE,
        tier: None,
    };
    let call = crate::adapters::openai::Embeddings.encode(&batch, &target).unwrap();
    assert_eq!(shown(&call).1, json!({"model": "up", "input": texts[2..4], "user": "u"}));
    assert_eq!(call.context.expected, vectors(2));
}

#[test]
fn answers_that_are_not_what_was_asked_for_are_the_providers_failure() {
    let answer = |vectors: &[&[f32]]| {
        let data = vectors.iter().enumerate();
        let data: Vec<Value> = data.map(|(at, vector)| json!({"index": at, "embedding": vector})).collect();
        json!({"data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
    };
    for (what, given, expected) in [
        ("too few", answer(&[&[1.0]]), vectors(2)),
        ("too many", answer(&[&[1.0], &[2.0]]), vectors(1)),
        ("of different lengths", answer(&[&[1.0], &[2.0, 3.0]]), vectors(2)),
        ("empty", answer(&[&[]]), vectors(1)),
        ("not a number", json!({"data": [{"index": 0, "embedding": [1.0, null]}]}), vectors(1)),
        ("beyond a float", json!({"data": [{"index": 0, "embedding": [1e300]}]}), vectors(1)),
        ("an encoding of its own", json!({"data": [{"index": 0, "embedding": "AAAAPw=="}]}), vectors(1)),
        ("a chat", json!({"choices": [{"index": 0, "message": {"content": "hi"}}]}), vectors(1)),
    ] {
        let failure = read("openai", expected, &given).expect_err(what);
        assert!(failure.class.may_fall_back(), "{what}: {failure:?}");
        assert!(
            matches!(failure.class, FailureClass::Malformed | FailureClass::Server),
            "{what}: {failure:?}"
        );
    }
    let sized = Expected::Vectors { count: 1, dimensions: Some(3), base64: false };
    let failure = read("openai", sized, &answer(&[&[1.0, 2.0]])).unwrap_err();
    assert_eq!(failure.class, FailureClass::Unsupported);
    assert_eq!(failure.message, "dimensions: 3 were asked for, and provider made vectors of 2");
}

#[test]
fn an_error_inside_a_200_is_an_error() {
    for (adapter, answer, class) in [
        (
            "openai",
            json!({"error": {"message": "overloaded", "type": "overloaded_error", "code": 503}}),
            FailureClass::Overloaded,
        ),
        (
            "gemini",
            json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}),
            FailureClass::Overloaded,
        ),
        ("ollama", json!({"error": "model 'x' not found"}), FailureClass::NotFound),
        ("cohere", json!({"message": "invalid api token"}), FailureClass::Auth),
    ] {
        assert_eq!(read(adapter, vectors(1), &answer).unwrap_err().class, class, "{adapter}");
    }
}

#[test]
fn places_are_those_asked_for_the_best_first() {
    let ranked = |ranked| Expected::Ranking { documents: 3, ranked };
    let answer = |places: &[(usize, f64)]| {
        let row = |(index, score): &(usize, f64)| json!({"index": index, "relevance_score": score});
        json!({"results": places.iter().map(row).collect::<Vec<_>>(), "usage": {"total_tokens": 9}})
    };
    let good = read("openai", ranked(2), &answer(&[(0, 0.1), (2, 0.9), (1, 0.5)])).unwrap();
    let Product::Ranking(places) = good.product else { panic!("a ranking") };
    assert_eq!(places.iter().map(|place| place.index).collect::<Vec<_>>(), [2, 1], "sorted, and no more");
    assert_eq!(good.usage.unwrap().prompt_tokens, 9);
    for (what, places) in [
        ("too few", &[(0, 0.1)][..]),
        ("one twice", &[(0, 0.1), (0, 0.2)]),
        ("one that is not there", &[(0, 0.1), (3, 0.2)]),
    ] {
        let failure = read("openai", ranked(2), &answer(places)).expect_err(what);
        assert_eq!(failure.class, FailureClass::Malformed, "{what}");
    }
}

#[test]
fn answers_of_several_calls_are_one() {
    let part = |vectors: &[f32], tokens: Option<u64>| ChatResponse {
        product: Product::Vectors(vectors.iter().map(|number| vec![*number]).collect()),
        usage: counted(tokens, None),
        ..ChatResponse::default()
    };
    let whole = join(vec![part(&[1.0, 2.0], Some(3)), part(&[3.0], Some(4))]).unwrap();
    assert_eq!(whole.product, Product::Vectors(vec![vec![1.0], vec![2.0], vec![3.0]]));
    assert_eq!(whole.usage.unwrap().prompt_tokens, 7);
    let unsaid = join(vec![part(&[1.0], Some(3)), part(&[2.0], None)]).unwrap();
    assert_eq!(unsaid.usage, None, "a sum of which a part is not known is not known");
    let other = ChatResponse { product: Product::Vectors(vec![vec![1.0, 2.0]]), ..ChatResponse::default() };
    assert!(join(vec![part(&[1.0], None), other]).is_err());
}

/// Recorded by the adapter that would have made the call; what was asked for is in each answer, or it is an error of this
/// class.
#[test]
fn recorded_answers_are_read() {
    let mut seen = Vec::new();
    for (folder, adapter) in [
        ("azure/embeddings", "azure"),
        ("bedrock/embeddings", "bedrock"),
        ("cohere/embeddings", "cohere"),
        ("cohere/rerank", "cohere"),
        ("doubleword/embeddings", "openai"),
        ("google/embeddings", "gemini"),
        ("llamacpp/embeddings", "openai"),
        ("llamacpp/rerank", "openai"),
        ("mistral/embeddings", "mistral"),
        ("ollama/embeddings", "ollama"),
        ("openai/embeddings", "openai"),
        ("openrouter/embeddings", "openai"),
        ("perplexity/embeddings", "openai"),
        ("venice/embeddings", "openai"),
        ("vertex/embeddings", "vertex"),
        ("voyage/embeddings", "openai"),
        ("voyage/rerank", "openai"),
    ] {
        for path in recordings(folder) {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let name = name.rsplit_once('-').map_or(name.as_str(), |(name, _)| name).to_owned();
            seen.push(format!("{folder} {name}: {}", play(adapter, &path)));
        }
    }
    if seen.is_empty() {
        return;
    }
    assert_eq!(seen.join("\n"), RECORDED.trim());
}

const RECORDED: &str = "
azure/embeddings embedding-status-401: Auth
azure/embeddings text-embedding-ada-002-ok: 1x1536, 2
bedrock/embeddings amazon.nova-2-multimodal-embeddings-v1-ok: 1x256, 10
bedrock/embeddings cohere.embed-english-v3-ok: 1x1024, 2
cohere/embeddings embed-english-v3.0-ok: 1x1024, unsaid
cohere/embeddings embed-v4.0-ok: 1x1024, 7
cohere/embeddings embed-v4.0-ok: 1x1536, 4
cohere/rerank rerank-english-v2.0-ok: 1>0, 0 and 1 searches
cohere/rerank rerank-v3.5-ok: 0>1, 0 and 1 searches
doubleword/embeddings qwen3-embedding-8b-ok: 1x32, 3
doubleword/embeddings qwen3-embedding-8b-status-400: InvalidRequest
doubleword/embeddings qwen4-embedding-unreleased-status-404: NotFound
google/embeddings embedding-001-ok: 3x768, unsaid
google/embeddings gemini-embedding-2-image: 1x768, 261
google/embeddings no-such-embedding-model-status-404: NotFound
google/embeddings nonexistent-model-status-404: NotFound
llamacpp/embeddings qwen3-1.7b-q4-k-m-ok: 1x2048, 1
llamacpp/embeddings qwen3-embedding-0.6b-q8-0-status-400: InvalidRequest
llamacpp/embeddings qwen3-embedding-0.6b-q8-0-status-501: Server
llamacpp/rerank bge-reranker-v2-m3-q4-k-m-status-400: InvalidRequest
llamacpp/rerank bge-reranker-v2-m3-q4-k-m-status-501: Server
mistral/embeddings codestral-embed-ok: 3x64, 38
mistral/embeddings mistral-embed-ok: 1x1024, 4
mistral/embeddings mistral-embed-status-400: InvalidRequest
ollama/embeddings llama3-ok: Malformed
ollama/embeddings nomic-embed-text-ok: 1x768, 9
openai/embeddings nonexistent-status-404: NotFound
openai/embeddings not-found-model-status-404: NotFound
openai/embeddings text-embedding-3-large-ok: 1x3072, 8
openai/embeddings text-embedding-ada-002-ok: 1x1536, 4
openrouter/embeddings embedding-model-status-400: InvalidRequest
openrouter/embeddings text-embedding-3-small-ok: 3x768, 3
openrouter/embeddings text-embedding-3-small-ok: 1x768, 7
perplexity/embeddings pplx-embed-v1-0.6b-ok: Malformed
venice/embeddings no-such-embedding-model-status-404: NotFound
vertex/embeddings gemini-embedding-2-ok: 1x3072, 11
voyage/embeddings nonexistent-status-400: InvalidRequest
voyage/embeddings voyage-4-ok: 1x1024, 3
voyage/rerank rerank-2-lite-ok: 0>2, 43
voyage/rerank rerank-2-lite-ok: 3>0>2, 57
";

#[test]
fn rankings_are_asked_for_in_each_dialect() {
    let request = ranking(&json!({"query": "q", "documents": ["a", {"text": "b"}], "top_n": 1,
        "max_tokens_per_doc": 9, "return_documents": false, "provider": {"order": ["x"]}}));
    let cohere = shown(&calls("cohere", &request, "rerank-v3.5").unwrap()[0]);
    let expected = json!({"model": "rerank-v3.5", "query": "q", "documents": ["a", "b"], "top_n": 1, "max_tokens_per_doc": 9});
    assert_eq!(cohere, ("/rerank".to_owned(), expected));
    let openai = shown(&calls("openai", &request, "bge").unwrap()[0]);
    let expected = json!({"model": "bge", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1, "max_tokens_per_doc": 9});
    assert_eq!(openai, ("/rerank".to_owned(), expected));
    let pictured = ranking(&json!({"query": "q", "documents": [{"image": "https://x.test/a.png"}]}));
    let refused = calls("cohere", &pictured, "m").unwrap_err();
    assert_eq!(refused.field, "documents[0].image");
}

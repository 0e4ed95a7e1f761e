//! Model servers on this machine: Ollama and llama.cpp on the ports that they choose themselves.

use std::{collections::HashMap, time::Duration};

use serde_json::Value;
use switchyard_proto::v1;

use crate::{
    chat,
    dev::discover::{Found, Offer},
};

/// A server on this machine answers in less, or is busy with something else.
const ANSWER: Duration = Duration::from_millis(300);

const OLLAMA_PORT: u16 = 11_434;
const LLAMA_CPP_PORT: u16 = 8_080;

/// Where the server does not tell.
const CONTEXT: u64 = 32_768;

pub(super) async fn look(variables: &HashMap<String, String>, ours: &[u16]) -> Vec<Found> {
    let Ok(http) = chat::http() else { return Vec::new() };
    let ollama = ollama_origin(variables);
    let llama_cpp = format!("http://127.0.0.1:{LLAMA_CPP_PORT}");
    let (ollama, llama_cpp) = tokio::join!(
        async {
            ollama_models(&ask(&http, &format!("{ollama}/api/tags")).await?)
                .map(|models| server("ollama", &ollama, models))
        },
        async {
            // That is our own default: whoever moves us elsewhere may have it there.
            if ours.contains(&LLAMA_CPP_PORT) {
                return None;
            }
            let listed = ask(&http, &format!("{llama_cpp}/v1/models")).await?;
            llama_cpp_models(&listed).map(|models| server("llama-cpp", &llama_cpp, models))
        },
    );
    ollama.into_iter().chain(llama_cpp).collect()
}

async fn ask(http: &reqwest::Client, url: &str) -> Option<Value> {
    let answer = http.get(url).timeout(ANSWER).send().await.ok()?;
    answer.error_for_status().ok()?.json().await.ok()
}

/// `OLLAMA_HOST` may name a host, a port, both or a URL; listening everywhere is dialled on loopback.
fn ollama_origin(variables: &HashMap<String, String>) -> String {
    let set = variables.get("OLLAMA_HOST").map(|host| host.trim().trim_end_matches('/')).unwrap_or_default();
    let (scheme, host) = set.split_once("://").unwrap_or(("http", set));
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().unwrap_or(OLLAMA_PORT)),
        None => (host, OLLAMA_PORT),
    };
    let host = if host.is_empty() || host == "0.0.0.0" || host == "[::]" { "127.0.0.1" } else { host };
    format!("{scheme}://{host}:{port}")
}

/// Names of what Ollama has pulled; `None` for another server.
fn ollama_models(tags: &Value) -> Option<Vec<Local>> {
    let models = tags["models"].as_array()?;
    let names = models.iter().filter_map(|model| model["name"].as_str());
    Some(names.map(|name| Local { name: name.to_owned(), context: CONTEXT }).collect())
}

/// Names of what llama.cpp has loaded; `None` for another server, of which many speak this dialect.
fn llama_cpp_models(listed: &Value) -> Option<Vec<Local>> {
    let models = listed["data"].as_array()?;
    let is_llama_cpp = models.iter().any(|model| model["owned_by"] == "llamacpp");
    let local = |model: &Value| {
        let context = model["meta"]["n_ctx_train"].as_u64().unwrap_or(CONTEXT);
        model["id"].as_str().map(|name| Local { name: name.to_owned(), context })
    };
    is_llama_cpp.then(|| models.iter().filter_map(local).collect())
}

/// A model that a local server has.
#[derive(Debug, PartialEq, Eq)]
struct Local {
    name: String,
    context: u64,
}

fn server(id: &str, origin: &str, models: Vec<Local>) -> Found {
    let from = format!("{id} at {origin}");
    if models.is_empty() {
        return Found::Missing { from, why: "it has no models yet".to_owned() };
    }
    let profile = if id == "ollama" { "ollama-compat" } else { id };
    let provider = v1::Provider {
        id: id.to_owned(),
        profile: profile.to_owned(),
        base_url: format!("{origin}/v1"),
        data_policy: Some(v1::DataPolicy { retains_prompts: Some(false), trains: Some(false), zdr: None }),
        ..Default::default()
    };
    let models = models.into_iter().map(|model| row(id, model)).collect();
    Found::Usable { from, offer: Box::new(Offer { provider, models }) }
}

/// Free: the electricity is not ours to count.
fn row(provider: &str, Local { name, context }: Local) -> (v1::Model, v1::Endpoint) {
    let model =
        v1::Model { id: format!("{provider}/{}", short(&name)), name: name.clone(), ..Default::default() };
    let endpoint = v1::Endpoint {
        model: model.id.clone(),
        id: provider.to_owned(),
        provider: provider.to_owned(),
        upstream_id: name,
        context_length: context,
        price: Some(v1::Price::default()),
        cancel_stops_billing: true,
        ..Default::default()
    };
    (model, endpoint)
}

/// The name without folders and `.gguf`, in characters that a model's name may have.
fn short(name: &str) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or(name).trim_end_matches(".gguf");
    let allowed = |character: char| character.is_ascii_alphanumeric() || "._:-".contains(character);
    name.chars().map(|character| if allowed(character) { character } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use switchyard_proto::id::is_model;

    use super::*;

    #[test]
    fn ollama_is_looked_for_where_its_variable_says() {
        for (set, origin) in [
            ("", "http://127.0.0.1:11434"),
            ("0.0.0.0", "http://127.0.0.1:11434"),
            ("0.0.0.0:1", "http://127.0.0.1:1"),
            (":1", "http://127.0.0.1:1"),
            ("https://box:1/", "https://box:1"),
            ("box", "http://box:11434"),
        ] {
            let variables = HashMap::from([("OLLAMA_HOST".to_owned(), set.to_owned())]);
            assert_eq!(ollama_origin(&variables), origin, "{set}");
        }
    }

    #[test]
    fn only_llama_cpp_is_taken_for_llama_cpp() {
        let data =
            json!([{"id": "/models/Qwen 2.gguf", "owned_by": "llamacpp", "meta": {"n_ctx_train": 4096}}]);
        let models = llama_cpp_models(&json!({"data": data})).unwrap();
        assert_eq!(models, [Local { name: "/models/Qwen 2.gguf".into(), context: 4_096 }]);
        assert_eq!(llama_cpp_models(&json!({"data": [{"id": "a", "owned_by": "b"}]})), None);
        assert_eq!(llama_cpp_models(&json!({"error": "no"})), None);
    }

    #[test]
    fn names_become_models() {
        for (name, id) in [("llama3.2:1b", "ollama/llama3.2:1b"), ("/models/Qwen 2.gguf", "ollama/Qwen-2")] {
            let (model, endpoint) = row("ollama", Local { name: name.into(), context: 1 });
            assert_eq!((model.id.as_str(), endpoint.upstream_id.as_str()), (id, name));
            assert!(is_model(&model.id));
        }
    }

    #[test]
    fn a_server_without_models_is_only_mentioned() {
        let found =
            server("ollama", "http://127.0.0.1:11434", ollama_models(&json!({"models": []})).unwrap());
        assert!(matches!(found, Found::Missing { .. }));
    }
}

//! The provider `echo`: a model for every behaviour of the fault lab.

use switchyard_proto::v1;

use crate::{
    dev::discover::Offer,
    fault_lab::{Behaviour, behaviours},
};

/// The provider's id, and the author of its models.
const ECHO: &str = "echo";

/// USD per million tokens: small, and not zero, so that costs can be seen.
const INPUT: &str = "0.10";
const CACHED_INPUT: &str = "0.01";
const OUTPUT: &str = "0.40";

/// The lab as a provider that anybody could have configured.
pub(super) fn offer(lab_url: &str) -> Offer {
    let provider = v1::Provider {
        id: ECHO.into(),
        display_name: "echo".into(),
        adapter: "openai".into(),
        base_url: format!("{lab_url}/v1"),
        data_policy: Some(v1::DataPolicy { retains_prompts: Some(false), trains: Some(false), zdr: None }),
        ..Default::default()
    };
    let beside = [
        ("embed", "embeddings", "A vector for each input."),
        ("rerank", "rerank", "Ranks documents by the words that they share with the query."),
    ];
    let models = behaviours().iter().map(row).chain(beside.map(self::beside));
    Offer { provider, models: models.collect() }
}

/// A model for other work than chat; it behaves as `echo` does.
fn beside((name, output, description): (&str, &str, &str)) -> (v1::Model, v1::Endpoint) {
    let (model, endpoint) = row(&behaviours()[0]);
    let model = v1::Model {
        id: format!("{ECHO}/{name}"),
        name: format!("Echo: {name}"),
        description: description.into(),
        input_modalities: vec!["text".into()],
        output_modalities: vec![output.into()],
        ..model
    };
    let price = v1::Price { input: INPUT.into(), ..Default::default() };
    let endpoint =
        v1::Endpoint { model: model.id.clone(), max_output_tokens: 0, price: Some(price), ..endpoint };
    (model, endpoint)
}

fn row(behaviour: &Behaviour) -> (v1::Model, v1::Endpoint) {
    let name = behaviour.name;
    let modalities = ["text", "image", "audio", "file"].map(str::to_owned);
    let model = v1::Model {
        id: format!("{ECHO}/{name}"),
        name: format!("Echo: {name}"),
        description: behaviour.description.into(),
        input_modalities: modalities.to_vec(),
        output_modalities: vec!["text".into()],
        ..Default::default()
    };
    let price = v1::Price {
        input: INPUT.into(),
        cached_input: CACHED_INPUT.into(),
        output: OUTPUT.into(),
        ..Default::default()
    };
    let endpoint = v1::Endpoint {
        model: model.id.clone(),
        id: ECHO.into(),
        provider: ECHO.into(),
        upstream_id: name.into(),
        context_length: 131_072,
        max_output_tokens: 16_384,
        price: Some(price),
        ..Default::default()
    };
    (model, endpoint)
}

#[cfg(test)]
mod tests {
    use switchyard_proto::{
        id::is_model,
        price::{Tariff, Written},
    };

    use super::*;

    #[test]
    fn every_behaviour_is_a_model_with_a_price() {
        let offer = offer("http://127.0.0.1:1");
        assert!(offer.models.len() > 50);
        for (model, endpoint) in &offer.models {
            assert!(is_model(&model.id), "{}", model.id);
            Tariff::parse(&Written::from(endpoint.price.as_ref().unwrap())).unwrap();
        }
        for id in ["echo/status-429", "echo/embed", "echo/rerank"] {
            assert!(offer.models.iter().any(|(model, _)| model.id == id), "{id}");
        }
    }
}

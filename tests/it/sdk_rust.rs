//! The `async-openai` crate, pointed at us, works as at its own provider.

use async_openai::Client;
use async_openai::config::OpenAIConfig;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use futures_util::StreamExt;
use switchyard_tests::client;
use switchyard_tests::cluster::Cluster;

fn request(model: &str) -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessageArgs::default().content("one two three").build().unwrap();
    CreateChatCompletionRequestArgs::default().model(model).messages([message.into()]).build().unwrap()
}

async fn sdk(cluster: &Cluster) -> Client<OpenAIConfig> {
    let ours = cluster.client().await.unwrap();
    let config = OpenAIConfig::new().with_api_base(format!("{}/api/v1", ours.url)).with_api_key(ours.key);
    Client::with_config(config).with_http_client(client::http())
}

#[tokio::test]
async fn it_reads_our_answers_and_streams() {
    let cluster = Cluster::start().await.unwrap();
    let sdk = sdk(&cluster).await;
    for model in ["test/echo", "test/claude"] {
        let answer = sdk.chat().create(request(model)).await.unwrap();
        assert_eq!(answer.choices[0].message.content.as_deref(), Some("one two three"));
        assert!(answer.id.starts_with("gen-") && answer.usage.is_some_and(|usage| usage.total_tokens > 0));
        let mut stream = sdk.chat().create_stream(request(model)).await.unwrap();
        let (mut text, mut finished, mut usages) = (String::new(), 0, 0);
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.unwrap();
            usages += usize::from(chunk.usage.is_some());
            for choice in chunk.choices {
                text.push_str(choice.delta.content.as_deref().unwrap_or_default());
                finished += usize::from(choice.finish_reason.is_some());
            }
        }
        assert_eq!((text.as_str(), finished, usages), ("one two three", 1, 1), "{model}");
    }
}

#[tokio::test]
async fn it_reads_our_errors() {
    let cluster = Cluster::start().await.unwrap();
    let error = sdk(&cluster).await.chat().create(request("test/ecko")).await.unwrap_err();
    assert!(error.to_string().contains("test/ecko"), "{error}");
}

//! The official `openai` package for Python, pointed at us, works as at its own provider.
//!
//! Installed into a throwaway environment; where the package registry is out of reach, the test says so and passes.

use switchyard_tests::cluster::Cluster;
use tokio::process::Command;

use crate::python;

const SCRIPT: &str = r#"
import os
import openai

client = openai.OpenAI(base_url=os.environ["BASE"], api_key=os.environ["KEY"], max_retries=0)
hello = [{"role": "user", "content": "one two three"}]

for model in ["test/echo", "test/claude"]:
    answer = client.chat.completions.create(model=model, messages=hello)
    assert answer.choices[0].message.content == "one two three", answer
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.id.startswith("gen-") and answer.usage.total_tokens > 0, answer
    assert answer.usage.cost > 0 and answer.provider.startswith("lab"), answer

    text, usages = "", []
    for chunk in client.chat.completions.create(model=model, messages=hello, stream=True):
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usages += [chunk.usage] if chunk.usage else []
    assert text == "one two three", text
    assert len(usages) == 1 and usages[0].total_tokens > 0, usages

weather = {"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}
with client.chat.completions.stream(model="test/tools", messages=hello, tools=[weather]) as stream:
    for _ in stream:
        pass
    call = stream.get_final_completion().choices[0].message.tool_calls[0]
assert call.function.name == "weather" and "city" in call.function.arguments, call

assert "test/echo" in [model.id for model in client.models.list()]
assert client.models.retrieve("test/echo").id == "test/echo"

try:
    client.chat.completions.create(model="test/ecko", messages=hello)
    raise AssertionError("an unknown model was accepted")
except openai.BadRequestError as error:
    assert "test/echo" in str(error), error
try:
    client.with_options(api_key="sk-sy-v1-nonsense").chat.completions.create(model="test/echo", messages=hello)
    raise AssertionError("garbage was accepted as a key")
except openai.AuthenticationError:
    pass
try:
    client.chat.completions.create(model="test/limited", messages=hello)
    raise AssertionError("a rate limit was not told")
except openai.RateLimitError as error:
    assert error.response.headers["retry-after"], error.response.headers
try:
    for _ in client.chat.completions.create(model="test/breaks", messages=hello, stream=True):
        pass
    raise AssertionError("an error in the stream was dropped")
except openai.APIError:
    pass
print("all is well")
"#;

#[tokio::test]
async fn it_reads_our_answers_streams_tools_and_errors() {
    let Some(python) = python::with(&["openai"]).await else { return };
    let cluster = Cluster::start().await.unwrap();
    cluster.model("test/tools", &[("lab-anthropic", "tools")]).await.unwrap();
    cluster.model("test/limited", &[("lab", "status-429-7")]).await.unwrap();
    cluster.model("test/breaks", &[("lab", "error-mid-2")]).await.unwrap();
    let client = cluster.client().await.unwrap();
    let mut command = Command::new(python);
    command.args(["-c", SCRIPT]).env("BASE", format!("{}/api/v1", client.url)).env("KEY", &client.key);
    match python::run(command.env_remove("OPENAI_API_KEY")).await {
        Ok(said) => assert!(said.contains("all is well"), "{said}"),
        Err(said) => panic!("{said}"),
    }
}

"""What the official `openai` package does besides chat completions, pointed at us."""

import os
import sys

import openai

client = openai.OpenAI(base_url=os.environ["BASE"] + "/api/v1", api_key=os.environ["KEY"], max_retries=0)
HELLO = [{"role": "user", "content": "one two three"}]
WEATHER = {"type": "function", "name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}, "strict": False}
MODELS = ["test/echo", "test/claude", "test/gemini"]




def a_response_has_its_text():
    for model in MODELS:
        response = client.responses.create(model=model, input="one two three", store=False)
        assert response.status == "completed" and response.output_text == "one two three", (model, response)
        assert response.usage.input_tokens > 0 and response.usage.total_tokens > 0, response
        assert response.output[-1].content[0].type == "output_text", response


def a_streamed_response_is_the_same():
    for model in MODELS:
        with client.responses.stream(model=model, input=HELLO) as stream:
            events = list(stream)
            response = stream.get_final_response()
        assert response.output_text == "one two three", (model, response)
        numbers = [event.sequence_number for event in events if hasattr(event, "sequence_number")]
        assert numbers == sorted(numbers), numbers


def raw_events_come_in_order():
    kinds = [event.type for event in client.responses.create(model="test/echo", input=HELLO, stream=True)]
    assert kinds[:2] == ["response.created", "response.in_progress"] and kinds[-1] == "response.completed", kinds


def tools_are_called_and_their_results_go_back():
    response = client.responses.create(model="test/tools", input=HELLO, tools=[WEATHER])
    call = next(item for item in response.output if item.type == "function_call")
    assert call.name == "weather" and "city" in call.arguments, response
    turns = HELLO + response.output + [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    for model in MODELS:
        assert client.responses.create(model=model, input=turns, tools=[WEATHER]).output


def tools_are_called_in_streams():
    with client.responses.stream(model="test/tools", input=HELLO, tools=[WEATHER]) as stream:
        response = stream.get_final_response()
    assert any(item.type == "function_call" and "city" in item.arguments for item in response.output), response


def reasoning_goes_out_and_comes_back():
    for model in ["test/thinks", "test/thinks-claude"]:
        response = client.responses.create(model=model, input=HELLO, reasoning={"effort": "low"})
        assert response.output[0].type == "reasoning", (model, response)
        turns = HELLO + response.output + [{"role": "user", "content": "go on"}]
        assert client.responses.create(model=model, input=turns).output


def what_would_need_a_memory_is_refused():
    for more in [{"store": True}, {"previous_response_id": "resp_1"}, {"background": True}]:
        try:
            client.responses.create(model="test/echo", input="x", **more)
            raise AssertionError(f"{more} was accepted")
        except openai.BadRequestError as error:
            assert next(iter(more)) in str(error), error


def errors_have_their_classes():
    for expected, model in [(openai.BadRequestError, "test/ecko"), (openai.RateLimitError, "test/limited")]:
        try:
            client.responses.create(model=model, input="x")
            raise AssertionError(f"{model} was accepted")
        except expected:
            pass


def a_failure_ends_a_streamed_response():
    kinds = [event.type for event in client.responses.create(model="test/breaks", input=HELLO, stream=True)]
    assert kinds[-1] == "response.failed", kinds


def legacy_completions_are_text():
    answer = client.completions.create(model="test/echo", prompt="one two three")
    assert answer.object == "text_completion" and answer.choices[0].text == "one two three", answer
    text = "".join(choice.text for chunk in client.completions.create(model="test/claude", prompt="one two three", stream=True)
                   for choice in chunk.choices)
    assert text == "one two three", text



def embeddings_are_floats_by_base64_or_by_wish():
    # The package asks for base64 where nobody says otherwise, and decodes it itself.
    decoded = client.embeddings.create(model="test/vectors", input="one two three")
    floats = client.embeddings.create(model="test/vectors", input="one two three", encoding_format="float")
    assert decoded.object == "list" and decoded.model == "test/vectors", decoded
    one, other = decoded.data[0].embedding, floats.data[0].embedding
    assert len(one) == len(other) == 8 and all(isinstance(number, float) for number in one), one
    assert all(abs(a - b) < 1e-6 for a, b in zip(one, other)), (one, other)
    assert decoded.usage.prompt_tokens == decoded.usage.total_tokens > 0, decoded


def embeddings_can_be_asked_for_as_base64():
    answer = client.embeddings.create(model="test/vectors", input="one", encoding_format="base64")
    assert isinstance(answer.data[0].embedding, str), answer


def batches_keep_their_order():
    texts = [f"text {number}" for number in range(150)]
    answer = client.embeddings.create(model="test/cohere-vectors", input=texts, dimensions=16)
    assert [item.index for item in answer.data] == list(range(150))
    single = client.embeddings.create(model="test/cohere-vectors", input=texts[120], dimensions=16)
    assert len(single.data[0].embedding) == 16
    assert all(abs(a - b) < 1e-6 for a, b in zip(answer.data[120].embedding, single.data[0].embedding))


def token_ids_are_inputs_too():
    assert len(client.embeddings.create(model="test/vectors", input=[[1, 2], [3]]).data) == 2


def errors_of_embeddings_have_their_classes():
    for expected, wish in [
        (openai.BadRequestError, {"model": "test/vectors", "input": ""}),
        (openai.BadRequestError, {"model": "test/echo", "input": "x"}),
        (openai.RateLimitError, {"model": "test/limited-vectors", "input": "x"}),
        (openai.AuthenticationError, {"model": "test/vectors", "input": "x", "key": "sk-sy-v1-nonsense"}),
    ]:
        key = wish.pop("key", None)
        caller = client.with_options(api_key=key) if key else client
        try:
            caller.embeddings.create(**wish)
            raise AssertionError(f"{wish} was accepted")
        except expected:
            pass


CASES = [case for name, case in list(globals().items()) if callable(case) and name[0].islower()
         and getattr(case, "__module__", "") == "__main__"]
failed = []
for case in CASES:
    try:
        case()
    except Exception as error:  # noqa: BLE001
        failed.append(f"{case.__name__}: {type(error).__name__}: {error}")
print("\n".join(failed), file=sys.stderr)
print(f"openai: {len(CASES) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)

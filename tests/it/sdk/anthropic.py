"""The official `anthropic` package, pointed at us. Each case is a function; a failed one fails the run."""

import json
import os
import sys

import anthropic

client = anthropic.Anthropic(base_url=os.environ["BASE"], api_key=os.environ["KEY"], max_retries=0)
HELLO = [{"role": "user", "content": "one two three"}]
WEATHER = {"name": "weather", "description": "tells the weather", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
MODELS = ["test/echo", "test/claude", "test/gemini"]


def create(**more):
    return client.messages.create(**{"model": "test/echo", "max_tokens": 100, "messages": HELLO, **more})


def a_whole_answer_is_a_message():
    for model in MODELS:
        message = create(model=model)
        assert message.type == "message" and message.role == "assistant", message
        assert message.content[0].text == "one two three", (model, message)
        assert message.stop_reason == "end_turn", message
        assert message.usage.input_tokens > 0 and message.usage.output_tokens > 0, message


def a_stream_adds_up_to_the_same_message():
    for model in MODELS:
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            text = "".join(stream.text_stream)
            message = stream.get_final_message()
        assert text == "one two three", (model, text)
        assert message.content[0].text == text and message.stop_reason == "end_turn", message
        assert message.usage.output_tokens > 0, message


def raw_events_come_in_order():
    events = [event.type for event in create(stream=True)]
    assert events[0] == "message_start" and events[-2:] == ["message_delta", "message_stop"], events
    assert events.count("content_block_start") == events.count("content_block_stop") == 1, events


def tools_are_called_and_their_results_go_back():
    message = create(model="test/tools", tools=[WEATHER], tool_choice={"type": "any"})
    call = next(block for block in message.content if block.type == "tool_use")
    assert message.stop_reason == "tool_use" and call.name == "weather" and "city" in call.input, message
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "rain"}], "is_error": True}
    turns = HELLO + [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    for model in ["test/echo", "test/claude"]:
        answer = create(model=model, messages=turns, tools=[WEATHER])
        assert answer.content, answer


def tools_are_called_in_streams():
    with client.messages.stream(model="test/tools", max_tokens=100, messages=HELLO, tools=[WEATHER]) as stream:
        message = stream.get_final_message()
    call = next(block for block in message.content if block.type == "tool_use")
    assert call.name == "weather" and "city" in call.input, message


def thinking_is_told_and_can_be_sent_back():
    for model in ["test/thinks", "test/thinks-claude"]:
        message = create(model=model, max_tokens=4000, thinking={"type": "enabled", "budget_tokens": 1024})
        kinds = [block.type for block in message.content]
        assert kinds[0] == "thinking" and "text" in kinds, (model, message)
        turns = HELLO + [{"role": "assistant", "content": message.content}, {"role": "user", "content": "go on"}]
        assert create(model=model, max_tokens=4000, messages=turns).content


def system_prompts_and_images_are_taken():
    image = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    content = [{"type": "image", "source": image}, {"type": "text", "text": "one two three"}]
    system = [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]
    message = create(model="test/claude", system=system, messages=[{"role": "user", "content": content}])
    assert "one two three" in message.content[0].text, message


def tokens_are_counted():
    counted = client.messages.count_tokens(model="test/echo", messages=HELLO)
    assert counted.input_tokens > 0, counted


def errors_have_their_classes():
    for expected, more in [
        (anthropic.BadRequestError, {"model": "test/ecko"}),
        (anthropic.BadRequestError, {"messages": []}),
        (anthropic.RateLimitError, {"model": "test/limited"}),
    ]:
        try:
            create(**more)
            raise AssertionError(f"{more} was accepted")
        except expected as error:
            assert error.body["type"] == "error" and error.body["error"]["message"], error.body
    stranger = client.with_options(api_key="sk-sy-v1-nonsense")
    try:
        stranger.messages.create(model="test/echo", max_tokens=1, messages=HELLO)
        raise AssertionError("garbage was accepted as a key")
    except anthropic.AuthenticationError as error:
        assert error.body["error"]["type"] == "authentication_error", error.body


def an_error_inside_a_stream_is_raised():
    try:
        for _ in create(model="test/breaks", stream=True):
            pass
        raise AssertionError("an error in the stream was dropped")
    except anthropic.APIStatusError as error:
        assert error.body["type"] == "error", error.body


CASES = [case for name, case in list(globals().items()) if callable(case) and name[0].islower() and name != "create"
         and getattr(case, "__module__", "") == "__main__"]
failed = []
for case in CASES:
    try:
        case()
    except Exception as error:  # noqa: BLE001
        failed.append(f"{case.__name__}: {type(error).__name__}: {error}")
print("\n".join(failed), file=sys.stderr)
print(f"anthropic: {len(CASES) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)

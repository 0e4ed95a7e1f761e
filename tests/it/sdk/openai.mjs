// What the official `openai` package for Node does, pointed at us.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: BASE, apiKey: KEY, maxRetries: 0 });
const chat = (more) => client.chat.completions.create({ model: "test/echo", messages: HELLO, ...more });
const MODELS = ["test/echo", "test/claude", "test/gemini"];

await runCases("openai for Node", {
    async models_are_listed_and_found() {
        const names = [];
        for await (const model of client.models.list()) names.push(model.id);
        assert.ok(names.includes("test/echo"), names.join());
        const one = await client.models.retrieve("test/echo");
        assert.deepEqual([one.id, one.object, one.owned_by], ["test/echo", "model", "test"]);
    },
    async a_chat_has_its_text_and_its_cost() {
        for (const model of MODELS) {
            const answer = await chat({ model });
            assert.equal(answer.choices[0].message.content, "one two three");
            assert.equal(answer.choices[0].finish_reason, "stop");
            assert.ok(answer.id.startsWith("gen-") && answer.usage.total_tokens > 0 && answer.usage.cost > 0);
        }
    },
    async a_streamed_chat_says_the_same_and_counts_once() {
        for (const model of MODELS) {
            let text = "", usages = 0;
            for await (const chunk of await chat({ model, stream: true, stream_options: { include_usage: true } })) {
                text += chunk.choices[0]?.delta?.content ?? "";
                usages += chunk.usage ? 1 : 0;
            }
            assert.deepEqual([text, usages], ["one two three", 1]);
        }
    },
    async tools_are_called_and_their_results_go_back() {
        const answer = await chat({ model: "test/tools", tools: [WEATHER] });
        const [call] = answer.choices[0].message.tool_calls;
        assert.equal(answer.choices[0].finish_reason, "tool_calls");
        assert.equal(call.function.name, "weather");
        assert.ok("city" in JSON.parse(call.function.arguments));
        const result = { role: "tool", tool_call_id: call.id, content: "rain" };
        const messages = [...HELLO, answer.choices[0].message, result];
        for (const model of MODELS) {
            const after = await chat({ model, messages, tools: [WEATHER] });
            assert.ok(after.choices[0].message, model);
        }
    },
    async tools_are_called_in_streams() {
        const stream = client.chat.completions.stream({ model: "test/tools", messages: HELLO, tools: [WEATHER] });
        const [call] = (await stream.finalChatCompletion()).choices[0].message.tool_calls;
        assert.ok("city" in JSON.parse(call.function.arguments));
    },
    async tools_run_by_the_package_end_in_an_answer() {
        const seen = [];
        const run = (place) => { seen.push(place); return "rain"; };
        const tool = { type: "function", function: { ...WEATHER.function, parse: JSON.parse, function: run } };
        const runner = client.chat.completions.runTools({ model: "test/tools", messages: HELLO, tools: [tool] });
        assert.ok(await runner.finalContent());
        assert.ok(seen.length === 1 && "city" in seen[0], JSON.stringify(seen));
    },
    async structured_answers_are_parsed() {
        const schema = { ...WEATHER.function.parameters, additionalProperties: false };
        const response_format = { type: "json_schema", json_schema: { name: "place", strict: true, schema } };
        const answer = await client.chat.completions.parse({ model: "test/json", messages: HELLO, response_format });
        assert.equal(typeof answer.choices[0].message.parsed.city, "string");
    },
    async responses_are_answered_and_streamed() {
        for (const model of MODELS) {
            const response = await client.responses.create({ model, input: "one two three", store: false });
            assert.deepEqual([response.status, response.output_text], ["completed", "one two three"]);
            const stream = client.responses.stream({ model, input: "one two three" });
            assert.equal((await stream.finalResponse()).output_text, "one two three");
        }
    },
    async legacy_completions_are_text() {
        const answer = await client.completions.create({ model: "test/echo", prompt: "one two three" });
        assert.equal(answer.choices[0].text, "one two three");
    },
    async errors_have_their_classes() {
        const unknown = await refused(() => chat({ model: "test/ecko" }), OpenAI.BadRequestError);
        assert.match(unknown.message, /test\/echo/);
        const stranger = client.withOptions({ apiKey: "sk-sy-v1-nonsense" });
        const call = () => stranger.chat.completions.create({ model: "test/echo", messages: HELLO });
        await refused(call, OpenAI.AuthenticationError);
        const limited = await refused(() => chat({ model: "test/limited" }), OpenAI.RateLimitError);
        assert.ok(limited.headers.get("retry-after"));
        await refused(() => client.models.retrieve("test/ecko"), OpenAI.NotFoundError);
        const manager = client.withOptions({ apiKey: MANAGEMENT });
        const run = () => manager.chat.completions.create({ model: "test/echo", messages: HELLO });
        await refused(run, OpenAI.PermissionDeniedError);
    },
    async an_error_inside_a_stream_is_thrown() {
        const read = async () => { for await (const _ of await chat({ model: "test/breaks", stream: true })); };
        await refused(read, OpenAI.APIError);
    },
    async a_stream_can_be_left() {
        const stream = await chat({ model: "test/hangs", stream: true });
        for await (const _ of stream) break;
        assert.ok(stream.controller.signal.aborted);
    },
});

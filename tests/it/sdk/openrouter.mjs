// What OpenRouter's own SDK does, pointed at us: it checks every answer, member by member.
import { OpenRouter } from "@openrouter/sdk";
import * as errors from "@openrouter/sdk/models/errors";

const options = { serverURL: BASE, retryConfig: { strategy: "none" }, timeoutMs: 20_000 };
const client = new OpenRouter({ ...options, apiKey: KEY });
const manager = new OpenRouter({ ...options, apiKey: MANAGEMENT });
const send = (more) => client.chat.send({ chatRequest: { model: "test/echo", messages: HELLO, ...more } });
const MODELS = ["test/echo", "test/claude", "test/gemini"];
const ECHO = { author: "test", slug: "echo" };

async function all(pages) {
    const found = [];
    for await (const page of await pages) found.push(...page.result.data);
    return found;
}

await runCases("@openrouter/sdk", {
    async models_are_listed_with_prices_as_texts() {
        const models = await all(client.models.list());
        const echo = models.find((model) => model.id === "test/echo");
        assert.deepEqual([echo.pricing.prompt, echo.pricing.completion], ["0.000001", "0.000002"]);
        assert.equal((await client.models.count()).data.count, models.length);
    },
    async models_are_filtered_sorted_and_paged() {
        const found = await all(client.models.list({ q: "ECHO", sort: "pricing-low-to-high", limit: 1 }));
        assert.deepEqual(found.map((model) => model.id), ["test/echo"]);
        assert.equal((await all(client.models.list({ minPrice: 5 }))).length, 0);
        const paged = await all(client.models.list({ limit: 3 }));
        assert.equal(new Set(paged.map((model) => model.id)).size, paged.length);
        assert.equal((await client.models.count()).data.count, paged.length);
        await refused(() => client.models.list({ category: "programming" }), errors.BadRequestResponseError);
    },
    async ones_own_models_and_one_model_are_found() {
        const own = await all(client.models.listForUser({ bearer: KEY }));
        assert.ok(own.some((model) => model.id === "test/echo"));
        assert.equal((await client.models.get(ECHO)).data.id, "test/echo");
        await refused(() => client.models.get({ author: "test", slug: "ecko" }), errors.NotFoundResponseError);
        const vectors = await all(client.embeddings.listModels());
        assert.ok(vectors.some((model) => model.id === "test/cohere-vectors"));
        assert.ok(vectors.every((model) => model.architecture.outputModalities.includes("embeddings")));
    },
    async endpoints_and_providers_are_told() {
        // A whole answer has no first content that could be timed.
        for await (const _ of await send({ stream: true }));
        const { data } = await client.endpoints.list(ECHO);
        assert.deepEqual([data.endpoints.length, data.endpoints[0].tag, data.endpoints[0].status], [1, "lab", 0]);
        // What was seen is added up once a second.
        const [seen] = await eventually(async () => {
            const { data } = await client.endpoints.list(ECHO);
            return data.endpoints[0].latencyLast30m === null ? undefined : data.endpoints;
        });
        assert.equal(seen.uptimeLast5m, 100);
        assert.ok(seen.latencyLast30m.p50 > 0);
        const { data: providers } = await client.providers.list();
        assert.ok(providers.some((provider) => provider.slug === "lab"));
        assert.deepEqual((await client.endpoints.listZdrEndpoints()).data, []);
    },
    async a_chat_is_answered() {
        for (const model of MODELS) {
            const answer = await send({ model });
            assert.equal(answer.choices[0].message.content, "one two three");
            assert.ok(answer.usage.totalTokens > 0);
        }
    },
    async a_chat_is_streamed() {
        for (const model of MODELS) {
            let text = "", usages = 0;
            for await (const chunk of await send({ model, stream: true })) {
                text += chunk.choices[0]?.delta?.content ?? "";
                usages += chunk.usage ? 1 : 0;
            }
            assert.deepEqual([text, usages], ["one two three", 1]);
        }
    },
    async tools_are_called() {
        const answer = await send({ model: "test/tools", tools: [WEATHER] });
        const [call] = answer.choices[0].message.toolCalls;
        assert.ok("city" in JSON.parse(call.function.arguments));
        const result = { role: "tool", toolCallId: call.id, content: "rain" };
        const messages = [...HELLO, answer.choices[0].message, result];
        assert.ok((await send({ model: "test/tools", messages, tools: [WEATHER] })).choices[0].message.content);
    },
    async reasoning_is_told() {
        for (const model of ["test/thinks", "test/thinks-claude"]) {
            const answer = await send({ model, reasoning: { effort: "low" }, maxTokens: 4000 });
            assert.ok(answer.choices[0].message.reasoning, model);
        }
    },
    async a_key_tells_of_itself() {
        const { data } = await client.apiKeys.getCurrentKeyMetadata();
        assert.deepEqual([data.isManagementKey, data.limit, data.organizationId], [false, null, "acme"]);
        const { data: own } = await manager.apiKeys.getCurrentKeyMetadata();
        assert.equal(own.isManagementKey, true);
    },
    async keys_are_made_changed_and_deleted() {
        const { data, key } = await manager.apiKeys.create({
            requestBody: { name: "made", limit: 5.25, limitReset: "daily", expiresAt: new Date(Date.now() + 3.6e6) },
        });
        assert.deepEqual([data.limit, data.limitRemaining, data.limitReset, data.disabled], [5.25, 5.25, "daily", false]);
        const made = new OpenRouter({ ...options, apiKey: key });
        const answer = await made.chat.send({ chatRequest: { model: "test/echo", messages: HELLO } });
        assert.equal(answer.choices[0].message.content, "one two three");
        const { data: listed } = await manager.apiKeys.list();
        assert.deepEqual(listed.map((row) => row.name), ["made", "test"]);
        const requestBody = { disabled: true, limit: null, name: "renamed" };
        const { data: changed } = await manager.apiKeys.update({ hash: data.hash, requestBody });
        assert.deepEqual([changed.name, changed.limit, changed.disabled], ["renamed", null, true]);
        assert.equal((await manager.apiKeys.get({ hash: data.hash })).data.name, "renamed");
        assert.deepEqual((await manager.apiKeys.list()).data.map((row) => row.name), ["test"]);
        assert.equal((await manager.apiKeys.list({ includeDisabled: true })).data.length, 2);
        assert.equal((await manager.apiKeys.delete({ hash: data.hash })).deleted, true);
        await refused(() => manager.apiKeys.get({ hash: data.hash }), errors.NotFoundResponseError);
    },
    async keys_are_managed_with_a_management_key_alone() {
        const create = () => client.apiKeys.create({ requestBody: { name: "x" } });
        await refused(create, errors.ForbiddenResponseError);
        const run = () => manager.chat.send({ chatRequest: { model: "test/echo", messages: HELLO } });
        await refused(run, errors.ForbiddenResponseError);
    },
    async credits_and_activity_are_told() {
        const { data } = await manager.credits.getCredits();
        assert.deepEqual([typeof data.totalCredits, typeof data.totalUsage], ["number", "number"]);
        const today = await manager.analytics.getUserActivity();
        assert.deepEqual(today.data, [], "today is not over");
    },
    async a_generation_is_found_at_once() {
        const answer = await send();
        const { data } = await client.generations.getGeneration({ id: answer.id });
        assert.deepEqual([data.id, data.model, data.streamed], [answer.id, "test/echo", false]);
        assert.ok(data.totalCost > 0 && data.nativeTokensPrompt > 0);
        const content = () => client.generations.listGenerationContent({ id: answer.id });
        await refused(content, errors.NotFoundResponseError);
    },
    async errors_have_their_classes() {
        await refused(() => send({ model: "test/ecko" }), errors.BadRequestResponseError);
        await refused(() => send({ model: "test/limited" }), errors.TooManyRequestsResponseError);
        const stranger = new OpenRouter({ ...options, apiKey: "sk-sy-v1-nonsense" });
        await refused(() => stranger.apiKeys.getCurrentKeyMetadata(), errors.UnauthorizedResponseError);
    },
    async an_error_inside_a_stream_is_told() {
        const found = [];
        for await (const chunk of await send({ model: "test/breaks", stream: true })) found.push(chunk.error);
        const error = found.find((error) => error);
        assert.ok(Number.isInteger(error.code) && error.message, JSON.stringify(found));
    },
});

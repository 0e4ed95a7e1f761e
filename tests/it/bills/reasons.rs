//! Why recorded bills are not what the published prices come to. A row without a difference has no reason, and the other way
//! round.

const UNKNOWN: &str = "no price of this model is published here";
const FEE: &str = "a fee for the request, which is not published here; Perplexity rounds each part to a hundred-thousandth of a dollar";

/// Recording and reason.
const REASONS: &[(&str, &str)] = &[
    ("avian/chat/kimi-k2.5-stream-cache-parallel-tools-reasoning-tool-call-03bf3b", UNKNOWN),
    (
        "openrouter/chat/deepseek-chat-stream-citations-ddefb8",
        "no price of this model is published here; 0.007 of the bill is one web search",
    ),
    ("openrouter/chat/deepseek-chat-v3-0324-stream-cache-f77466", UNKNOWN),
    (
        "openrouter/chat/gemini-2.5-flash-cache-max-tokens-550a5b",
        "the same 2,161 tokens are billed as read from the cache and as written to it, at 0.0833 a million for five minutes of storage; a token of ours has one kind, and no such price is published here",
    ),
    ("openrouter/chat/glm-5-turbo-stream-cache-parallel-tools-reasoning-tool-call-98337e", UNKNOWN),
    (
        "openrouter/chat/gpt-oss-20b-stream-reasoning-tool-call-2a6087",
        "the price is Groq's (0.075 and 0.3 a million); Phala, which answered, bills 0.04 and 0.15",
    ),
    ("openrouter/chat/grok-4.1-fast-stream-cache-reasoning-tool-result-2f80da", UNKNOWN),
    (
        "perplexity/chat/sonar-citations-json-schema-66d964",
        "0.005 for the request, which is not published here; Perplexity rounds each part to a hundred-thousandth of a dollar",
    ),
    ("perplexity/chat/sonar-reasoning-pro-citations-a8a789", FEE),
    ("perplexity/chat/sonar-stream-citations-f80fdf", FEE),
    ("vercel-gateway/chat/gemini-3-pro-preview-stream-reasoning-tool-result-d8faf2", UNKNOWN),
    ("xai/chat/grok-4-fast-stream-cache-parallel-tools-reasoning-tool-call-8a8f41", UNKNOWN),
    ("xai/chat/grok-4-fast-stream-cache-reasoning-tool-result-3f22d1", UNKNOWN),
    ("xai/chat/grok-code-fast-1-cache-parallel-tools-reasoning-tool-call-478939", UNKNOWN),
    ("xai/chat/grok-code-fast-1-stream-cache-parallel-tools-reasoning-tool-call-23892d", UNKNOWN),
    ("xai/responses/grok-3-mini-stream-cache-reasoning-7e4725", UNKNOWN),
    ("xai/responses/grok-4-fast-reasoning-cache-citations-reasoning-server-tools-d6163a", UNKNOWN),
    ("xai/responses/grok-4-fast-reasoning-stream-cache-citations-reasoning-server-tools-1b3b00", UNKNOWN),
];

/// The reason of a recording.
pub fn of(place: &str) -> Option<&'static str> {
    REASONS.iter().find(|(own, _)| *own == place).map(|(_, reason)| *reason)
}

/// The recordings that have one.
pub fn places() -> impl Iterator<Item = &'static str> {
    REASONS.iter().map(|(place, _)| *place)
}

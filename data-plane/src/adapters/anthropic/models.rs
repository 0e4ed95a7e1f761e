//! Which Claude takes what, as the catalogue's rows say it: what the tests beside this encode for.

use crate::adapters::quirks::{Quirks, Thinking, ThinkingOff};
use crate::model::request::Effort::{self, High, Low, Max, Medium, Xhigh};

/// One line of the table.
struct Row {
    /// The upstream id begins so.
    prefix: &'static str,
    sampling: bool,
    thinking: Thinking,
    off: ThinkingOff,
    efforts: &'static [Effort],
    forced_tools: bool,
    prefill: bool,
    output_format: bool,
    inner_system: bool,
    bound_thinking: bool,
    output_cap: u64,
}

/// Claude before thinking.
const OLD: Row = Row {
    prefix: "claude-3",
    sampling: true,
    thinking: Thinking::Absent,
    off: ThinkingOff::Disabled,
    efforts: &[],
    forced_tools: true,
    prefill: true,
    output_format: false,
    inner_system: false,
    bound_thinking: false,
    // Larger caps are refused where prompt and cap together exceed the window.
    output_cap: 4096,
};

/// Claude with a thinking budget.
const BUDGET: Row = Row { prefix: "claude-3-7", thinking: Thinking::Budget, ..OLD };

/// Claude that decides how much to think, and takes no sampling numbers any more.
const ADAPTIVE: Row = Row {
    prefix: "claude-",
    sampling: false,
    thinking: Thinking::Adaptive,
    efforts: &[Low, Medium, High, Xhigh, Max],
    prefill: false,
    output_format: true,
    output_cap: 128_000,
    ..OLD
};

/// The first row whose prefix fits counts, so longer prefixes stand first and the newest habits last.
const ROWS: [Row; 24] = [
    BUDGET,
    OLD,
    Row { prefix: "claude-sonnet-4-5", output_format: true, output_cap: 64_000, ..BUDGET },
    Row { prefix: "claude-haiku-4-5", output_format: true, output_cap: 64_000, ..BUDGET },
    Row { prefix: "claude-opus-4-5", output_format: true, output_cap: 64_000, ..BUDGET },
    Row { prefix: "claude-sonnet-4-6", sampling: true, efforts: &[Low, Medium, High, Max], ..ADAPTIVE },
    Row { prefix: "claude-opus-4-6", sampling: true, efforts: &[Low, Medium, High, Max], ..ADAPTIVE },
    Row { prefix: "claude-opus-4-7", ..ADAPTIVE },
    Row { prefix: "claude-opus-4-8", inner_system: true, ..ADAPTIVE },
    Row { prefix: "claude-opus-4", ..BUDGET },
    Row { prefix: "claude-sonnet-4", ..BUDGET },
    Row {
        prefix: "claude-sonnet-5-5",
        off: ThinkingOff::BetweenTools,
        forced_tools: false,
        inner_system: true,
        bound_thinking: true,
        ..ADAPTIVE
    },
    Row {
        prefix: "claude-opus-5-5",
        off: ThinkingOff::Never,
        forced_tools: false,
        inner_system: true,
        bound_thinking: true,
        ..ADAPTIVE
    },
    Row {
        prefix: "claude-fable-5-1",
        off: ThinkingOff::Never,
        forced_tools: false,
        inner_system: true,
        bound_thinking: true,
        ..ADAPTIVE
    },
    Row { prefix: "claude-haiku-5-5", inner_system: true, bound_thinking: true, ..ADAPTIVE },
    Row { prefix: "claude-sonnet-5", ..ADAPTIVE },
    Row { prefix: "claude-opus-5", inner_system: true, ..ADAPTIVE },
    Row { prefix: "claude-fable-5", off: ThinkingOff::Never, inner_system: true, ..ADAPTIVE },
    Row { prefix: "claude-mythos-5", off: ThinkingOff::Never, inner_system: true, ..ADAPTIVE },
    Row { prefix: "claude-instant", ..OLD },
    Row { prefix: "claude-2", ..OLD },
    Row { prefix: "claude-haiku-4", ..BUDGET },
    Row { prefix: "claude-v", ..OLD },
    // What is not known yet is like the newest.
    ADAPTIVE,
];

/// The quirks of an upstream model; of one that is no Claude, the defaults.
pub fn quirks(model: &str) -> Quirks {
    let Some(row) = ROWS.iter().find(|row| model.starts_with(row.prefix)) else { return Quirks::default() };
    Quirks {
        sampling: row.sampling,
        thinking: row.thinking,
        thinking_off: row.off,
        efforts: row.efforts.to_vec(),
        forced_tools: row.forced_tools,
        prefill: row.prefill,
        output_format: row.output_format,
        inner_system: row.inner_system,
        bound_thinking: row.bound_thinking,
        default_output_cap: row.output_cap,
        ..Quirks::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_find_their_own_row() {
        for (model, thinking, sampling, forced, cap) in [
            ("claude-3-5-haiku-20241022", Thinking::Absent, true, true, 4096),
            ("claude-3-7-sonnet-latest", Thinking::Budget, true, true, 4096),
            ("claude-sonnet-4-20250514", Thinking::Budget, true, true, 4096),
            ("claude-opus-4-1-20250805", Thinking::Budget, true, true, 4096),
            ("claude-sonnet-4-5-20250929", Thinking::Budget, true, true, 64_000),
            ("claude-opus-4-6", Thinking::Adaptive, true, true, 128_000),
            ("claude-opus-4-8", Thinking::Adaptive, false, true, 128_000),
            ("claude-sonnet-5-5", Thinking::Adaptive, false, false, 128_000),
            ("claude-sonnet-5", Thinking::Adaptive, false, true, 128_000),
            ("claude-unheard-9", Thinking::Adaptive, false, true, 128_000),
            ("qwen3-1.7b", Thinking::Budget, true, true, 4096),
        ] {
            let quirks = quirks(model);
            let found = (quirks.thinking, quirks.sampling, quirks.forced_tools, quirks.default_output_cap);
            assert_eq!(found, (thinking, sampling, forced, cap), "{model}");
        }
    }
}

//! What each dialect's answers are known to hold, read once from the files of this folder.
//!
//! An adapter names its own; `drift` compares answers with it. Two adapters of one dialect share a file.

use std::sync::LazyLock;

use crate::adapters::drift::Vocabulary;

macro_rules! vocabularies {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $($(#[$doc])* pub static $name: LazyLock<Vocabulary> = LazyLock::new(|| {
            Vocabulary::parse(include_str!(concat!("vocabulary/", $file))).expect("a test reads every file")
        });)*

        /// Every file with what is read from it.
        #[cfg(test)]
        pub static ALL: &[(&str, &LazyLock<Vocabulary>)] = &[$(($file, &$name)),*];
    };
}

vocabularies! {
    /// Chat completions, Azure's too.
    OPENAI = "openai.txt";
    OPENAI_RESPONSES = "openai_responses.txt";
    ANTHROPIC = "anthropic.txt";
    /// generateContent, Vertex's too.
    GEMINI = "gemini.txt";
    BEDROCK = "bedrock.txt";
    MISTRAL = "mistral.txt";
    COHERE = "cohere.txt";
    OLLAMA = "ollama.txt";
}

//! Switches of tasks besides chat in OpenAI's dialect: what followers call the same things.

/// What one endpoint calls the parts of embeddings and rankings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskQuirks {
    /// The member that takes the numbers in a vector.
    pub dimensions: String,
    /// Whether `input_type` is known; else it is left out.
    pub input_type: bool,
    /// The member that takes how many documents are wanted.
    pub top_n: String,
}

impl Default for TaskQuirks {
    fn default() -> Self {
        Self { dimensions: "dimensions".to_owned(), input_type: false, top_n: "top_n".to_owned() }
    }
}

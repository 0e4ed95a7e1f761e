//! Citations and grounding as annotations of the text that rests on them.

use serde_json::{Value, json};

/// What is known so far of the sources of one candidate.
#[derive(Debug, Default)]
pub struct Sources {
    /// Passages that recite something; pieces of a stream may repeat them.
    citations: Vec<Value>,
    /// Search results, which later pieces replace.
    grounding: Option<Value>,
}

/// More citations than this are not kept.
const MOST: usize = 1000;

impl Sources {
    /// Takes `citationMetadata`, by either of its two names for the list.
    pub fn cite(&mut self, metadata: &str) {
        let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
        let list = metadata.get("citationSources").or(metadata.get("citations")).and_then(Value::as_array);
        for source in list.into_iter().flatten() {
            if self.citations.len() < MOST && !self.citations.contains(source) {
                self.citations.push(source.clone());
            }
        }
    }

    /// Takes `groundingMetadata`.
    pub fn ground(&mut self, metadata: &str) {
        let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
        let tells = ["groundingChunks", "webSearchQueries"].iter().any(|name| metadata[name].is_array());
        if tells {
            self.grounding = Some(metadata);
        }
    }

    /// Searches that the provider ran.
    pub fn searches(&self) -> u64 {
        let queries = self.grounding.as_ref().and_then(|grounding| grounding["webSearchQueries"].as_array());
        queries.map_or(0, |queries| queries.len() as u64)
    }

    /// The annotations of the finished text.
    pub fn annotations(&self, text: &str) -> Vec<Value> {
        let cited = self.citations.iter().filter_map(|source| {
            let span = span(source, text);
            annotation(source["uri"].as_str(), source["title"].as_str(), None, span)
        });
        let mut all: Vec<Value> = cited.collect();
        if let Some(grounding) = &self.grounding {
            all.extend(grounded(grounding, text));
        }
        all
    }
}

/// One annotation for each passage and each of its sources; sources of no passage stand for the whole text.
fn grounded(grounding: &Value, text: &str) -> Vec<Value> {
    let chunks = grounding["groundingChunks"].as_array().map_or(&[][..], Vec::as_slice);
    let supports = grounding["groundingSupports"].as_array().map_or(&[][..], Vec::as_slice);
    if supports.is_empty() {
        let whole = (0, text.chars().count());
        return chunks.iter().filter_map(|chunk| of_chunk(chunk, whole)).collect();
    }
    let mut all = Vec::new();
    for support in supports.iter().take(MOST) {
        let span = span(&support["segment"], text);
        let sources = support["groundingChunkIndices"].as_array().into_iter().flatten();
        let sources = sources.filter_map(|at| chunks.get(usize::try_from(at.as_u64()?).ok()?));
        all.extend(sources.filter_map(|chunk| of_chunk(chunk, span)));
    }
    all
}

fn of_chunk(chunk: &Value, span: (usize, usize)) -> Option<Value> {
    let source = ["web", "retrievedContext", "maps"].iter().find_map(|kind| chunk.get(kind))?;
    annotation(source["uri"].as_str(), source["title"].as_str(), source["text"].as_str(), span)
}

fn annotation(
    url: Option<&str>,
    title: Option<&str>,
    content: Option<&str>,
    (start, end): (usize, usize),
) -> Option<Value> {
    let url = url.filter(|url| !url.is_empty())?;
    let mut citation =
        json!({"url": url, "title": title.unwrap_or_default(), "start_index": start, "end_index": end});
    if let Some(content) = content {
        citation["content"] = content.into();
    }
    Some(json!({"type": "url_citation", "url_citation": citation}))
}

/// Where a passage is, in characters; Google counts bytes.
fn span(segment: &Value, text: &str) -> (usize, usize) {
    let place = |name: &str| segment[name].as_u64().map_or(0, |at| usize::try_from(at).unwrap_or(usize::MAX));
    let chars = |bytes: usize| {
        let end = text.floor_char_boundary(bytes);
        text[..end].chars().count()
    };
    let start = chars(place("startIndex"));
    (start, chars(place("endIndex")).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passages_are_counted_in_characters() {
        let mut sources = Sources::default();
        let citations = r#"{"citationSources":[{"startIndex":3,"endIndex":5,"uri":"https://a.test","license":"x"},
            {"startIndex":900,"endIndex":901,"uri":"https://b.test","title":"B"},{"endIndex":2}]}"#;
        sources.cite(citations);
        sources.cite(citations);
        sources.ground(
            r#"{"groundingChunks":[{"web":{"uri":"https://c.test","title":"C"}},{"retrievedContext":{"text":"no address"}}],
            "groundingSupports":[{"segment":{"endIndex":5},"groundingChunkIndices":[0,1,7,"x"]}],
            "webSearchQueries":["q","r"]}"#,
        );
        sources.ground(r#"{"searchEntryPoint":{}}"#);
        let found = sources.annotations("é é é");
        let spans: Vec<_> = found
            .iter()
            .map(|found| &found["url_citation"])
            .map(|cited| (cited["url"].as_str(), cited["start_index"].as_u64(), cited["end_index"].as_u64()))
            .collect();
        let expected = [
            (Some("https://a.test"), Some(2), Some(3)),
            (Some("https://b.test"), Some(5), Some(5)),
            (Some("https://c.test"), Some(0), Some(3)),
        ];
        assert_eq!(spans, expected);
        assert_eq!(sources.searches(), 2);
    }

    #[test]
    fn sources_of_no_passage_stand_for_the_whole() {
        let mut sources = Sources::default();
        sources.ground(r#"{"groundingChunks":[{"maps":{"uri":"https://m.test","title":"M"}}]}"#);
        let cited = json!({"url": "https://m.test", "title": "M", "start_index": 0, "end_index": 2});
        assert_eq!(sources.annotations("né"), [json!({"type": "url_citation", "url_citation": cited})]);
    }
}

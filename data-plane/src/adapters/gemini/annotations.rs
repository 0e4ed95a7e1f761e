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

/// More citations than this are not kept, nor more annotations told.
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
        let ruler = Ruler::new(text);
        let cited = self.citations.iter().filter_map(|source| {
            let span = ruler.span(source);
            annotation(source["uri"].as_str(), source["title"].as_str(), None, span)
        });
        let mut all: Vec<Value> = cited.collect();
        if let Some(grounding) = &self.grounding {
            all.extend(grounded(grounding, &ruler));
        }
        all.truncate(MOST);
        all
    }
}

/// One annotation for each passage and each of its sources; sources of no passage stand for the whole text.
fn grounded(grounding: &Value, ruler: &Ruler<'_>) -> Vec<Value> {
    let chunks = grounding["groundingChunks"].as_array().map_or(&[][..], Vec::as_slice);
    let supports = grounding["groundingSupports"].as_array().map_or(&[][..], Vec::as_slice);
    if supports.is_empty() {
        let whole = (0, ruler.chars(usize::MAX));
        return chunks.iter().filter_map(|chunk| of_chunk(chunk, whole)).take(MOST).collect();
    }
    let cited = supports.iter().flat_map(|support| {
        let span = ruler.span(&support["segment"]);
        let sources = support["groundingChunkIndices"].as_array().into_iter().flatten();
        let sources = sources.filter_map(|at| chunks.get(usize::try_from(at.as_u64()?).ok()?));
        sources.filter_map(move |chunk| of_chunk(chunk, span))
    });
    cited.take(MOST).collect()
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

/// Counts characters of a text by its bytes, without reading it anew for each place.
struct Ruler<'a> {
    text: &'a str,
    /// Characters that begin before each mark; marks are [`STEP`] bytes apart.
    marks: Vec<usize>,
}

/// Bytes between two marks of a ruler.
const STEP: usize = 1024;

impl<'a> Ruler<'a> {
    fn new(text: &'a str) -> Self {
        let blocks = text.as_bytes().chunks(STEP);
        let marks = blocks.scan(0, |before, block| Some(std::mem::replace(before, *before + begun(block))));
        Self { text, marks: marks.collect() }
    }

    /// Whole characters in so many bytes of the text.
    fn chars(&self, bytes: usize) -> usize {
        let end = self.text.floor_char_boundary(bytes);
        // An end on the last mark's far side is counted from that mark.
        let mark = (end / STEP).min(self.marks.len().saturating_sub(1));
        let before = self.marks.get(mark).copied().unwrap_or(0);
        before + begun(&self.text.as_bytes()[mark * STEP..end])
    }

    /// Where a passage is, in characters; Google counts bytes.
    fn span(&self, segment: &Value) -> (usize, usize) {
        let place =
            |name: &str| segment[name].as_u64().map_or(0, |at| usize::try_from(at).unwrap_or(usize::MAX));
        let start = self.chars(place("startIndex"));
        (start, self.chars(place("endIndex")).max(start))
    }
}

/// Characters that begin in these bytes of a text.
fn begun(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
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
    fn a_ruler_counts_as_reading_does() {
        for text in ["", "né", &"é€a🌍".repeat(700), &"a".repeat(2 * STEP)] {
            let ruler = Ruler::new(text);
            for bytes in (0..text.len() + 2).chain([usize::MAX]) {
                let expected = text[..text.floor_char_boundary(bytes)].chars().count();
                assert_eq!(ruler.chars(bytes), expected, "{bytes} of {}", text.len());
            }
        }
    }

    #[test]
    fn annotations_are_told_up_to_their_limit() {
        let mut sources = Sources::default();
        let support = json!({"segment": {"endIndex": 1}, "groundingChunkIndices": vec![0; MOST + 1]});
        let chunks = json!([{"web": {"uri": "https://a.test"}}]);
        let metadata = json!({"groundingChunks": chunks, "groundingSupports": [support, support]});
        sources.ground(&metadata.to_string());
        sources.cite(r#"{"citations":[{"endIndex":1,"uri":"https://b.test"}]}"#);
        assert_eq!(sources.annotations("a").len(), MOST);
    }

    #[test]
    fn sources_of_no_passage_stand_for_the_whole() {
        let mut sources = Sources::default();
        sources.ground(r#"{"groundingChunks":[{"maps":{"uri":"https://m.test","title":"M"}}]}"#);
        let cited = json!({"url": "https://m.test", "title": "M", "start_index": 0, "end_index": 2});
        assert_eq!(sources.annotations("né"), [json!({"type": "url_citation", "url_citation": cited})]);
    }
}

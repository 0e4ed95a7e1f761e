//! `generationConfig`: caps, sampling, kinds of output, and the small things beside it.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::adapters::gemini::host::Host;
use crate::adapters::quirks::Quirks;
use crate::adapters::shared::wish;
use crate::adapters::{Target, Unsupported};
use crate::model::message::PartContent;
use crate::model::request::ChatRequest;

/// Google takes no more stop sequences than this.
const STOPS: usize = 5;

/// Google makes no more answers at once than this.
const ANSWERS: u32 = 8;

const SAFETY: [&str; 4] = [
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
];

/// Members of the configuration as they are written.
pub struct Settings<'a> {
    pub request: &'a ChatRequest,
    pub quirks: &'a Quirks,
    pub config: Map<String, Value>,
    pub dropped: Vec<Cow<'static, str>>,
}

impl Settings<'_> {
    /// Writes everything but thinking and the response format.
    ///
    /// # Errors
    /// [`Unsupported`] for what Google cannot do.
    pub fn write(&mut self, cap: Option<u64>) -> Result<(), Unsupported> {
        self.put("max_tokens", "maxOutputTokens", cap.map(Value::from));
        self.sample();
        self.stop()?;
        self.answers()?;
        self.modalities()?;
        self.resolution()?;
        Ok(())
    }

    /// Puts a wish under Google's name for it, unless the row says that the model refuses it.
    fn put(&mut self, name: &'static str, field: &str, value: Option<Value>) {
        let Some(value) = value else { return };
        if self.quirks.drop.iter().any(|known| known == name) {
            self.dropped.push(name.into());
        } else {
            self.config.insert(field.to_owned(), value);
        }
    }

    fn sample(&mut self) {
        let sampling = &self.request.sampling;
        let numbers = [
            ("temperature", "temperature", sampling.temperature.map(Value::from)),
            ("top_p", "topP", sampling.top_p.map(Value::from)),
            // Zero switches it off where it exists, which is what leaving it out does here.
            ("top_k", "topK", sampling.top_k.filter(|top_k| *top_k > 0).map(Value::from)),
        ];
        for (name, field, value) in numbers {
            if self.quirks.sampling {
                self.put(name, field, value);
            } else if value.is_some() {
                self.dropped.push(name.into());
            }
        }
        // Seeds are 32 bits wide; a larger one is folded, always in the same way.
        let seed = sampling.seed.map(|seed| i32::try_from(seed).unwrap_or((seed & 0x7fff_ffff) as i32));
        self.put("seed", "seed", seed.map(Value::from));
        self.put("presence_penalty", "presencePenalty", sampling.presence_penalty.map(Value::from));
        self.put("frequency_penalty", "frequencyPenalty", sampling.frequency_penalty.map(Value::from));
        if sampling.logprobs == Some(true) {
            self.put("logprobs", "responseLogprobs", Some(true.into()));
            let rivals = sampling.top_logprobs.filter(|rivals| *rivals > 0);
            self.put("top_logprobs", "logprobs", rivals.map(Value::from));
        }
    }

    fn stop(&mut self) -> Result<(), Unsupported> {
        let stop = &self.request.stop;
        if stop.len() > STOPS {
            return Err(Unsupported::new("stop", "has more than the 5 sequences that this model takes"));
        }
        self.put("stop", "stopSequences", (!stop.is_empty()).then(|| stop.clone().into()));
        Ok(())
    }

    fn answers(&mut self) -> Result<(), Unsupported> {
        match self.request.n {
            0 | 1 => Ok(()),
            n if n > ANSWERS => Err(Unsupported::new("n", "must not be more than 8 for this model")),
            n => {
                self.config.insert("candidateCount".to_owned(), n.into());
                Ok(())
            }
        }
    }

    fn modalities(&mut self) -> Result<(), Unsupported> {
        let asked = &self.request.modalities;
        if let Some(kind) = asked.iter().find(|kind| !["text", "image", "audio"].contains(&kind.as_str())) {
            let why = format_args!("asks for {kind}, which this model does not make");
            return Err(Unsupported::new("modalities", why));
        }
        let asks = |kind: &str| asked.iter().any(|asked| asked == kind);
        if asks("audio") {
            // What speaks does not write: its words are in the sound.
            self.config.insert("responseModalities".to_owned(), json!(["AUDIO"]));
            self.speech()?;
        } else if asks("image") {
            let kinds: Vec<_> = asked.iter().map(|kind| kind.to_ascii_uppercase()).collect();
            self.config.insert("responseModalities".to_owned(), kinds.into());
            self.image();
        } else {
            let unused = ["audio", "image_config"].into_iter();
            let unused = unused.filter(|name| wish::source_member(self.request, name).is_some());
            self.dropped.extend(unused.map(Cow::Borrowed));
        }
        Ok(())
    }

    fn speech(&mut self) -> Result<(), Unsupported> {
        let audio = wish::source_member(self.request, "audio").unwrap_or_default();
        if audio["format"].as_str().is_some_and(|format| format != "pcm16") {
            return Err(Unsupported::new("audio.format", "must be pcm16 for this model"));
        }
        if let Some(voice) = audio["voice"].as_str() {
            let voice = json!({"prebuiltVoiceConfig": {"voiceName": voice}});
            self.config.insert("speechConfig".to_owned(), json!({ "voiceConfig": voice }));
        }
        Ok(())
    }

    fn image(&mut self) {
        let wanted = wish::source_member(self.request, "image_config").unwrap_or_default();
        let mut config = Map::new();
        for (name, value) in wanted.as_object().into_iter().flatten() {
            match name.as_str() {
                "aspect_ratio" | "aspectRatio" => {
                    config.insert("aspectRatio".to_owned(), value.clone());
                }
                "image_size" | "imageSize" => {
                    config.insert("imageSize".to_owned(), value.clone());
                }
                _ => self.dropped.push(format!("image_config.{name}").into()),
            }
        }
        if !config.is_empty() {
            self.config.insert("imageConfig".to_owned(), Value::Object(config));
        }
    }

    /// Google has one resolution for all media: it is set where every image asks for the same.
    fn resolution(&mut self) -> Result<(), Unsupported> {
        if self.request.facts.images.count == 0 {
            return Ok(());
        }
        let messages = self.request.messages.get()?;
        let details = messages.iter().flat_map(|message| &message.content);
        let details = details.filter_map(|part| match &part.content {
            PartContent::Image { detail, .. } => Some(detail.as_deref().unwrap_or("auto")),
            _ => None,
        });
        let details: Vec<&str> = details.collect();
        let alone = self.request.facts.videos.count + self.request.facts.files.count == 0;
        let level = match details.first() {
            Some(first) if alone && details.iter().all(|detail| detail == first) => *first,
            _ if details.iter().all(|detail| *detail == "auto") => "auto",
            _ => "mixed",
        };
        match level {
            "low" => drop(self.config.insert("mediaResolution".to_owned(), "MEDIA_RESOLUTION_LOW".into())),
            "high" => drop(self.config.insert("mediaResolution".to_owned(), "MEDIA_RESOLUTION_HIGH".into())),
            "auto" => {}
            _ => self.dropped.push("image_url.detail".into()),
        }
        Ok(())
    }
}

/// Puts what stands beside the configuration: tier and safety.
pub fn beside(
    body: &mut Map<String, Value>,
    request: &ChatRequest,
    target: &Target<'_>,
    host: Host,
    dropped: &mut Vec<Cow<'static, str>>,
) {
    let quirks = target.quirks;
    let tier = wish::tier(request, target).map(|tier| match tier {
        "default" | "standard_only" => "standard",
        other => other,
    });
    match tier {
        None | Some("auto") => {}
        Some(tier @ ("standard" | "flex" | "priority")) if host.service_tier => {
            body.insert("serviceTier".to_owned(), tier.into());
        }
        Some("standard") => {}
        Some(_) => dropped.push("service_tier".into()),
    }
    let wanted = ["safetySettings", "safety_settings"];
    let wanted = wanted.into_iter().find_map(|name| Some((name, wish::source_member(request, name)?)));
    match wanted {
        // The deployment's word is the last one.
        Some((name, _)) if !quirks.safety.is_empty() => dropped.push(name.into()),
        Some((_, settings)) => drop(body.insert("safetySettings".to_owned(), settings)),
        None => {}
    }
    if !quirks.safety.is_empty() {
        let all = SAFETY.map(|category| json!({"category": category, "threshold": quirks.safety}));
        body.insert("safetySettings".to_owned(), all.to_vec().into());
    }
}

//! The deadlines of one attempt: the provider's own or the settings', made stricter by request and policy.

use std::time::Duration;

use switchyard_proto::v1;
use tokio::time::Instant;

use crate::config::snapshot::Endpoint;
use crate::model::deadlines::Deadlines;
use crate::settings;

/// The deadlines in force.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waits {
    pub connect: Duration,
    /// To the head of the answer. A whole answer's comes when the answer is done, so it has a setting of its own, or the
    /// longer of what a row or a wish says for headers and first content.
    pub head: Duration,
    pub first_content: Duration,
    pub idle: Duration,
    /// Tokens per second below which a stream has failed; 0: none.
    pub min_rate: f64,
    /// How long a stream may be slower than that.
    pub min_rate_over: Duration,
    /// The attempt's last moment.
    pub until: Instant,
}

impl Waits {
    /// `asked` is what request and policy want together: it can shorten what the provider's row or the settings say, and
    /// never lengthen it. `until` is the request's last moment.
    pub fn of(
        endpoint: &Endpoint,
        settings: &settings::Deadlines,
        asked: &Deadlines,
        stream: bool,
        until: Instant,
    ) -> Self {
        let own = own(&endpoint.provider.config.timeouts.unwrap_or_default());
        let held = own.or(of_settings(settings)).tightened_by(*asked);
        let pick = |held: Option<Duration>, default| held.unwrap_or(default);
        let first_content = pick(held.first_content, settings.first_content);
        let headers = pick(held.headers, settings.headers);
        let said = own.or(*asked);
        let head = match (said.headers, said.first_content) {
            // A stream's head never comes after its first content.
            _ if stream => headers.min(first_content),
            // Who says something of the head alone means streams'.
            (_, None) => settings.whole,
            (None, Some(_)) => first_content,
            (Some(_), Some(_)) => headers.max(first_content),
        };
        Self {
            connect: pick(held.connect, settings.connect),
            head,
            first_content,
            idle: pick(held.idle, settings.idle),
            min_rate: held.min_tokens_per_second.unwrap_or(0.0),
            min_rate_over: settings.min_rate_over,
            until: until.min(Instant::now() + pick(held.total, settings.total)),
        }
    }
}

/// What a provider's row says; 0 stands for nothing.
fn own(row: &v1::Timeouts) -> Deadlines {
    let ms = |ms: Option<u64>| ms.filter(|ms| *ms > 0).map(Duration::from_millis);
    Deadlines {
        connect: ms(row.connect_ms),
        headers: ms(row.headers_ms),
        first_content: ms(row.first_content_ms),
        idle: ms(row.idle_ms),
        total: ms(row.total_ms),
        min_tokens_per_second: Some(row.min_tokens_per_second).filter(|rate| *rate > 0.0),
    }
}

fn of_settings(settings: &settings::Deadlines) -> Deadlines {
    Deadlines {
        connect: Some(settings.connect),
        headers: Some(settings.headers),
        first_content: Some(settings.first_content),
        idle: Some(settings.idle),
        total: Some(settings.total),
        min_tokens_per_second: Some(settings.min_tokens_per_second).filter(|rate| *rate > 0.0),
    }
}

#[cfg(test)]
mod tests {
    use switchyard_proto::v1::resource::Body;

    use super::*;
    use crate::config::fixtures::{endpoint, full, model, provider, resource};

    const MS: Duration = Duration::from_millis(1);

    fn waits(row: v1::Timeouts, asked: Deadlines, stream: bool) -> Waits {
        let provider = v1::ProviderConfig { timeouts: Some(row), ..provider("p") };
        let rows =
            [Body::Provider(provider), Body::Model(model("a/m")), Body::Endpoint(endpoint("a/m", "p", "1"))];
        let config = full(rows.map(resource)).snapshot;
        let settings = settings::Deadlines {
            connect: 5 * MS,
            headers: 300 * MS,
            first_content: 400 * MS,
            whole: 700 * MS,
            idle: 60 * MS,
            total: 900 * MS,
            min_tokens_per_second: 0.0,
            min_rate_over: 10 * MS,
        };
        let endpoint = &config.catalogue.models["a/m"].endpoints[0];
        Waits::of(endpoint, &settings, &asked, stream, Instant::now() + 10_000 * MS)
    }

    #[test]
    fn a_row_goes_before_the_settings_and_a_wish_only_shortens() {
        let row = v1::Timeouts { first_content_ms: Some(700), idle_ms: Some(0), ..Default::default() };
        let longer = Deadlines { idle: Some(80 * MS), first_content: Some(650 * MS), ..Deadlines::default() };
        let waits = waits(row, longer, true);
        assert_eq!((waits.first_content, waits.idle), (650 * MS, 60 * MS));
    }

    #[test]
    fn a_whole_answers_head_has_a_deadline_of_its_own_unless_something_is_said() {
        let check = |headers: Option<u32>, first_content: Option<u32>, streamed, whole| {
            let ms = |ms: Option<u32>| ms.map(|ms| ms * MS);
            let asked =
                Deadlines { headers: ms(headers), first_content: ms(first_content), ..Deadlines::default() };
            for (stream, head) in [(true, streamed), (false, whole)] {
                let waits = waits(v1::Timeouts::default(), asked, stream);
                assert_eq!(waits.head, head * MS, "{headers:?} {first_content:?} {stream}");
            }
        };
        check(None, None, 300, 700);
        check(None, Some(1), 1, 1);
        check(Some(200), None, 200, 700);
        check(Some(200), Some(1), 1, 200);
    }

    #[test]
    fn the_highest_minimum_rate_holds() {
        let row = v1::Timeouts { min_tokens_per_second: 2.0, ..Default::default() };
        let asked = Deadlines { min_tokens_per_second: Some(5.0), ..Deadlines::default() };
        assert_eq!(waits(row, asked, true).min_rate, 5.0);
        assert_eq!(waits(row, Deadlines::default(), true).min_rate, 2.0);
    }
}

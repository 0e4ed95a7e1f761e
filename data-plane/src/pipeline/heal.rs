//! Has answers repaired that were to be JSON, where the request asks for it and the whole answer is there.

use serde_json::json;
use tokio::task::spawn_blocking;

use crate::extensions::heal;
use crate::pipeline::Job;
use crate::pipeline::trail::Trail;
use crate::upstream::attempt::Answer;

/// The answer, repaired if need be. Models write anything: it is done where no request waits for it, and a repairer that
/// cannot cope leaves the answer as it was.
pub async fn healed(answer: Answer, job: &Job<'_>, trail: &mut Trail) -> Answer {
    let Answer::Whole(whole, status) = answer else { return answer };
    if !job.heals || job.request.stream || !heal::is_ill(&whole) {
        return Answer::Whole(whole, status);
    }
    let mut patient = whole.clone();
    let healed = spawn_blocking(move || {
        let texts = heal::heal(&mut patient);
        (patient, texts)
    });
    match healed.await {
        Ok((patient, texts)) if texts > 0 => {
            trail.step(json!({
                "type": "response_healing",
                "name": "response-healing",
                "summary": format!("{texts} text repaired"),
                "data": {"texts": texts},
            }));
            Answer::Whole(patient, status)
        }
        Ok(_) | Err(_) => Answer::Whole(whole, status),
    }
}

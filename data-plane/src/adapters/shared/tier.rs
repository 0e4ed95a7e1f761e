//! The tier that served: providers say it at the beginning, at the end, or correct themselves.

use crate::model::event::Event;

/// What a stream has said of its tier so far.
#[derive(Debug, Default)]
pub struct Tier {
    told: Option<String>,
    known: Option<String>,
}

impl Tier {
    /// Takes what one event says; the last word counts.
    pub fn hear(&mut self, said: Option<&str>) {
        if let Some(said) = said.filter(|said| self.known.as_deref() != Some(said)) {
            self.known = Some(said.to_owned());
        }
    }

    /// What the start can tell.
    pub fn at_start(&mut self) -> Option<String> {
        self.told.clone_from(&self.known);
        self.known.clone()
    }

    /// What is left to be told at the end.
    pub fn at_end(&self) -> Option<Event> {
        self.known.clone().filter(|_| self.known != self.told).map(Event::Tier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_tells_what_the_start_did_not_know() {
        for (early, late, at_start, at_end) in [
            (&[][..], &[None][..], None, None),
            (&[Some("flex")], &[], Some("flex"), None),
            (&[Some("flex")], &[None, Some("flex")], Some("flex"), None),
            (&[None], &[Some("flex"), None], None, Some("flex")),
            (&[Some("auto"), Some("flex")], &[Some("default")], Some("flex"), Some("default")),
        ] {
            let mut tier = Tier::default();
            early.iter().for_each(|said| tier.hear(*said));
            assert_eq!(tier.at_start().as_deref(), at_start, "{early:?}");
            late.iter().for_each(|said| tier.hear(*said));
            let told = tier.at_end().map(|event| match event {
                Event::Tier(tier) => tier,
                other => format!("{other:?}"),
            });
            assert_eq!(told.as_deref(), at_end, "{early:?} {late:?}");
        }
    }
}

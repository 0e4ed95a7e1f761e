//! Quirks that list what is not understood, and so can be said by two who both are right: a model and its host.

use crate::adapters::quirks::{Quirks, UnknownQuirk};

impl Quirks {
    /// Sets one quirk as a row spells it, but adds to a list of what is not understood.
    ///
    /// # Errors
    /// As [`Quirks::set`].
    pub fn join(&mut self, name: &str, value: &str) -> Result<(), UnknownQuirk> {
        let mut said = Self::default();
        said.set(name, value)?;
        match name {
            "drop" => add(&mut self.drop, said.drop),
            "refuse" => add(&mut self.chat.refuse, said.chat.refuse),
            "message_drop" => add(&mut self.chat.message_drop, said.chat.message_drop),
            "refuse_media" => add(&mut self.chat.refuse_media, said.chat.refuse_media),
            _ => self.set(name, value)?,
        }
        Ok(())
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, more: Vec<T>) {
    for entry in more {
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_of_refusals_grows_and_everything_else_is_replaced() {
        let mut quirks = Quirks::default();
        for (name, first, second, together) in [
            ("drop", "a,b", "b,c", "a,b,c"),
            ("refuse", "a", "c", "a,c"),
            ("message_drop", "name", "", "name"),
            ("refuse_media", "file", "video,file", "file,video"),
            // What is accepted is the host's to say.
            ("efforts", "low,high", "max", "max"),
            ("message_members", "role,content,name", "role,content", "role,content"),
            ("inline_media", "image", "", ""),
            ("max_tokens_field", "max_completion_tokens", "max_tokens", "max_tokens"),
        ] {
            quirks.set(name, first).unwrap();
            let mut expected = quirks.clone();
            expected.set(name, together).unwrap();
            quirks.join(name, second).unwrap();
            assert_eq!(quirks, expected, "{name}");
        }
        assert!(quirks.join("colour", "red").is_err() && quirks.join("efforts", "huge").is_err());
    }
}

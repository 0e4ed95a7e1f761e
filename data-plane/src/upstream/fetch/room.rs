//! Room for what is fetched, shared by all request threads: fetches under way, and the bytes that requests hold.
//!
//! Nobody waits for room. Who finds none is told at once, so that neither memory nor a queue can grow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::settings::Fetch;
use crate::upstream::fetch::FetchError;

/// What the whole process may fetch at once.
#[derive(Debug)]
pub struct Room {
    under_way: AtomicUsize,
    bytes: AtomicU64,
    most_under_way: usize,
    most_bytes: u64,
    most_request_bytes: u64,
}

impl Room {
    /// Empty room of the size that the settings say.
    pub fn new(settings: &Fetch) -> Arc<Self> {
        Arc::new(Self {
            under_way: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            most_under_way: settings.max_under_way,
            most_bytes: settings.max_held_bytes,
            most_request_bytes: settings.max_request_bytes,
        })
    }

    /// A place for one fetch, until it is dropped.
    ///
    /// # Errors
    /// [`FetchError::Full`] where all places are taken, or no byte would find room.
    pub fn enter(self: &Arc<Self>) -> Result<UnderWay, FetchError> {
        if self.bytes.load(Ordering::Relaxed) >= self.most_bytes {
            return Err(FetchError::Full);
        }
        let one_more = |now: usize| (now < self.most_under_way).then_some(now + 1);
        let taken = self.under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.map(|_| UnderWay(Arc::clone(self))).map_err(|_| FetchError::Full)
    }

    fn hold(&self, more: u64) -> Result<(), FetchError> {
        let sum = |now: u64| now.checked_add(more).filter(|sum| *sum <= self.most_bytes);
        let taken = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        taken.map(drop).map_err(|_| FetchError::Full)
    }
}

/// A fetch that goes on.
#[derive(Debug)]
pub struct UnderWay(Arc<Room>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one request holds of the room, until it is dropped with the request's files.
#[derive(Debug)]
pub struct Share {
    room: Arc<Room>,
    /// Bytes of the request's files together, before base64.
    bytes: AtomicU64,
}

impl Share {
    /// Nothing yet.
    pub fn new(room: Arc<Room>) -> Self {
        Self { room, bytes: AtomicU64::new(0) }
    }

    /// Takes room for so many more bytes.
    ///
    /// # Errors
    /// [`FetchError::TooMuch`] where one request would have too many, [`FetchError::Full`] where all together would.
    pub fn take(&self, more: u64) -> Result<(), FetchError> {
        let most = self.room.most_request_bytes;
        if self.bytes.load(Ordering::Relaxed).saturating_add(more) > most {
            return Err(FetchError::TooMuch(most));
        }
        self.room.hold(more)?;
        self.bytes.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.bytes.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(max_under_way: usize, max_held_bytes: u64) -> Arc<Room> {
        Room::new(&Fetch {
            max_file_bytes: 100,
            max_request_bytes: 100,
            max_files: 9,
            timeout: std::time::Duration::from_secs(1),
            allow_private: false,
            max_under_way,
            max_held_bytes,
        })
    }

    #[test]
    fn places_are_free_again_when_fetches_end() {
        let room = room(2, 1);
        let (first, second) = (room.enter(), room.enter());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(room.enter().err(), Some(FetchError::Full));
        drop(first);
        assert!(room.enter().is_ok());
    }

    #[test]
    fn bytes_are_shared_by_all_requests_until_they_end() {
        let room = room(9, 150);
        let (one, other) = (Share::new(room.clone()), Share::new(room.clone()));
        assert_eq!(one.take(100), Ok(()));
        assert_eq!(one.take(1), Err(FetchError::TooMuch(100)));
        assert_eq!(other.take(51), Err(FetchError::Full));
        assert_eq!(other.take(50), Ok(()));
        assert_eq!(room.enter().err(), Some(FetchError::Full), "no byte would find room");
        drop(one);
        assert_eq!((other.take(50), room.enter().is_ok()), (Ok(()), true));
        drop(other);
        assert_eq!(room.bytes.load(Ordering::Relaxed), 0);
    }
}

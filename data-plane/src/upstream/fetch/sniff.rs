//! What bytes are: by themselves, else by their server's word, else by their name.

use crate::adapters::shared::media::type_of_name;

/// Types that say nothing.
const VAGUE: [&str; 3] = ["application/octet-stream", "binary/octet-stream", "application/unknown"];
const UNKNOWN: &str = "application/octet-stream";

/// First bytes, from an offset, and what they mean.
#[rustfmt::skip] // A table: one row, one line.
const SIGNS: &[(usize, &[u8], &str)] = &[
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"),
];

/// Brands of the ISO media container.
#[rustfmt::skip] // A table: one row, one line.
const BRANDS: &[(&[u8], &str)] = &[
    (b"heic", "image/heic"), (b"heix", "image/heic"), (b"hevc", "image/heic"), (b"hevx", "image/heic"),
    (b"mif1", "image/heif"), (b"msf1", "image/heif"),
    (b"avif", "image/avif"), (b"avis", "image/avif"),
    (b"M4A ", "audio/mp4"), (b"M4B ", "audio/mp4"),
    (b"qt  ", "video/quicktime"),
];

/// The media type of bytes that a server called `declared` and that are behind `url`; lower case, without parameters.
pub fn media_type(bytes: &[u8], declared: &str, url: &str) -> String {
    if let Some(found) = by_bytes(bytes) {
        return found.to_owned();
    }
    let declared = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let declared = if declared == "image/jpg" { "image/jpeg".to_owned() } else { declared };
    if is_sane(&declared) {
        return declared;
    }
    type_of_name(url).unwrap_or(UNKNOWN).to_owned()
}

fn by_bytes(bytes: &[u8]) -> Option<&'static str> {
    let at = |from: usize, sign: &[u8]| bytes.get(from..).is_some_and(|rest| rest.starts_with(sign));
    if let Some((.., found)) = SIGNS.iter().find(|(from, sign, _)| at(*from, sign)) {
        return Some(found);
    }
    if at(0, b"RIFF") {
        return match bytes.get(8..12)? {
            b"WEBP" => Some("image/webp"),
            b"WAVE" => Some("audio/wav"),
            b"AVI " => Some("video/x-msvideo"),
            _ => None,
        };
    }
    if at(4, b"ftyp") {
        let brand = bytes.get(8..12)?;
        return Some(
            BRANDS.iter().find(|(known, _)| *known == brand).map_or("video/mp4", |(_, found)| found),
        );
    }
    if at(0, b"BM") && is_bitmap(bytes) {
        return Some("image/bmp");
    }
    is_mpeg_audio(bytes).then_some("audio/mpeg")
}

/// Two letters are no proof; the reserved zeros and the header's size with them are.
fn is_bitmap(bytes: &[u8]) -> bool {
    let header = bytes.get(14..18).and_then(|size| <[u8; 4]>::try_from(size).ok()).map(u32::from_le_bytes);
    bytes.get(6..10) == Some(&[0; 4]) && matches!(header, Some(12 | 40 | 52 | 56 | 64 | 108 | 124))
}

/// A frame of MPEG layer 3 with a rate that exists.
fn is_mpeg_audio(bytes: &[u8]) -> bool {
    let [0xff, second, third, ..] = bytes else { return false };
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    second & 0xe0 == 0xe0 && version != 1 && layer == 1 && third >> 4 != 15 && third >> 2 & 3 != 3
}

/// Whether a type may be handed on: two words, and they say something.
fn is_sane(declared: &str) -> bool {
    let is_word = |word: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        (1..=64).contains(&word.len()) && word.bytes().all(is_letter)
    };
    let words = declared.split_once('/');
    words.is_some_and(|(kind, word)| is_word(kind) && is_word(word)) && !VAGUE.contains(&declared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_tell_their_type_before_servers_and_names_do() {
        let bitmap = [b"BM\x10\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(), &[0; 8]].concat();
        for (bytes, expected) in [
            (b"\x89PNG\r\n\x1a\n....".as_slice(), "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"GIF89a..", "image/gif"),
            (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
            (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
            (b"\0\0\0\x18ftypheic", "image/heic"),
            (b"\0\0\0\x18ftypmif1", "image/heif"),
            (b"\0\0\0\x18ftypisom", "video/mp4"),
            (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
            (&bitmap, "image/bmp"),
            (b"%PDF-1.7", "application/pdf"),
            (b"ID3\x04", "audio/mpeg"),
            (b"\xff\xfb\x90\x64", "audio/mpeg"),
        ] {
            assert_eq!(media_type(bytes, "text/html", "https://x.test/y.csv"), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_bytes_do_not_tell_is_told_by_the_server_or_the_name() {
        for (bytes, declared, url, expected) in [
            (b"a,b".as_slice(), "Text/CSV; charset=utf-8", "https://x/y.bin", "text/csv"),
            (b"a,b", "application/octet-stream", "https://x/y.csv?z", "text/csv"),
            (b"a,b", "", "https://x/y.csv", "text/csv"),
            (b"a,b", "no type", "https://x/y.csv", "text/csv"),
            (b"a,b", "a/b/c", "https://x/y", UNKNOWN),
            (b"?", "image/jpg", "https://x/y", "image/jpeg"),
            (b"BM is a text", "", "https://x/y.txt", "text/plain"),
            (b"\xff\xfe\0\0", "", "https://x/y.txt", "text/plain"),
            (b"", "", "", UNKNOWN),
            (b"RIFF", "", "", UNKNOWN),
            (b"....ftyp", "", "", UNKNOWN),
        ] {
            assert_eq!(media_type(bytes, declared, url), expected, "{bytes:?} {declared} {url}");
        }
    }
}

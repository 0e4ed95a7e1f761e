//! What the kernel knows of another process: processor time and memory, from `/proc`.

use std::io;
use std::time::Duration;

/// One tick of `utime` and `stime`: Linux reports them in hundredths of a second on every platform we know.
const TICK: Duration = Duration::from_millis(10);

/// Memory in KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    pub resident_kib: u64,
    /// The most that was ever resident.
    pub peak_kib: u64,
}

/// Processor time of all threads so far, user and system.
///
/// Two sources, both never too high, of which the higher counts: `stat` includes threads that have ended, in whole
/// ticks; the sum of the living threads' `schedstat` is in nanoseconds.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let in_ticks = parse_cpu(&stat).ok_or_else(|| unreadable("stat"))?;
    Ok(in_ticks.max(time_of_threads(pid).unwrap_or_default()))
}

/// `None` where the kernel keeps no `schedstat`.
fn time_of_threads(pid: u32) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread that ends while we look is left to `stat`.
        let Ok(schedstat) = std::fs::read_to_string(thread.ok()?.path().join("schedstat")) else { continue };
        sum += Duration::from_nanos(schedstat.split(' ').next()?.parse().ok()?);
    }
    Some(sum)
}

pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_memory(&status).ok_or_else(|| unreadable("status"))
}

fn unreadable(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc/<pid>/{what} has an unknown form"))
}

/// The name in brackets may hold spaces and brackets, so fields are counted from the last bracket.
fn parse_cpu(stat: &str) -> Option<Duration> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(TICK * (ticks()? + ticks()?))
}

fn parse_memory(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().split(' ').next()?.parse().ok()
    };
    Some(Memory { resident_kib: kib("VmRSS")?, peak_kib: kib("VmHWM")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_an_awkward_name() {
        let stat = "77 (a) b (c) S 1 77 77 0 -1 4194560 100 0 0 0 150 25 3 4 20 0 4 0 12345 1 2 3";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(parse_cpu("nonsense"), None);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(parse_memory(status), Some(Memory { resident_kib: 1_024, peak_kib: 2_048 }));
    }

    #[test]
    fn this_process_has_used_memory() {
        let mine = std::process::id();
        assert!(memory(mine).expect("/proc is there").resident_kib > 0);
        cpu_time(mine).expect("/proc is there");
    }
}

//! A timer that is exact to microseconds, where tokio's own counts milliseconds.
//!
//! Owns the system's timer, which is read as a pipe is. Without one it falls back on tokio's.

use std::io;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;

/// A timer for one wait at a time.
pub(super) struct Alarm(Option<Receiver>);

impl Alarm {
    /// Needs a runtime that is running.
    pub(super) fn new() -> Self {
        Self(system::open().ok())
    }

    /// Waits so long. If it is dropped before, the next wait sets the timer anew.
    pub(super) async fn wait(&self, time: Duration) {
        let rang = match &self.0 {
            Some(timer) => ring(timer, time).await,
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        if rang.is_err() {
            tokio::time::sleep(time).await;
        }
    }
}

async fn ring(timer: &Receiver, time: Duration) -> io::Result<()> {
    system::set(timer, time)?;
    loop {
        timer.readable().await?;
        match timer.try_read(&mut [0; 8]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read.map(drop),
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Duration, Receiver, io};
    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };

    pub(super) fn open() -> io::Result<Receiver> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Receiver::from_owned_fd_unchecked(timerfd_create(TimerfdClockId::Monotonic, flags)?)
    }

    pub(super) fn set(timer: &Receiver, time: Duration) -> io::Result<()> {
        // No time at all would stop the timer.
        let time = time.max(Duration::from_nanos(1));
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let it_value = Timespec::try_from(time).map_err(io::Error::other)?;
        let set = Itimerspec { it_interval, it_value };
        timerfd_settime(timer, TimerfdTimerFlags::empty(), &set)?;
        Ok(())
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Duration, Receiver, io};

    pub(super) fn open() -> io::Result<Receiver> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn set(_: &Receiver, _: Duration) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::clock::{Clock, SystemClock};

    #[tokio::test]
    async fn each_wait_is_as_long_as_it_says() {
        let alarm = Alarm::new();
        let started_ns = SystemClock.mono_ns();
        tokio::select! {
            biased;
            () = alarm.wait(Duration::from_secs(3600)) => panic!("an hour has gone by"),
            () = std::future::ready(()) => {}
        }
        let mut waited = Duration::ZERO;
        for us in [0, 1, 900, 3000] {
            alarm.wait(Duration::from_micros(us)).await;
            waited += Duration::from_micros(us);
            let gone = Duration::from_nanos(SystemClock.mono_ns() - started_ns);
            assert!(gone >= waited);
        }
    }
}

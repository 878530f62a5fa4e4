//! The clock: says what time it is when a timer is due.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// The wall clock may be set while nobody looks; it is looked at again after so long at the latest.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Something with timers. Dates are milliseconds since 1970.
#[async_trait]
pub trait Timers: Send {
    /// When the first one is due.
    fn next_ms(&mut self) -> Option<u64>;

    /// Resolves when that has changed since it was last asked for; `false` when there is no more to be kept.
    async fn changed(&mut self) -> bool;

    /// It is so late. Resolves when what is due was taken in; `false` when there is no more to be kept.
    async fn fire(&mut self, now_ms: u64) -> bool;
}

/// The date by the machine's clock, in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Nanoseconds since this was called, by a clock that nobody sets: to see how long something takes.
pub fn stopwatch() -> impl Fn() -> u64 + Send + Sync {
    let begun = Instant::now();
    move || u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Keeps the time until there is no more to be kept. What is due already is fired at once.
pub async fn keep(mut timers: impl Timers, now_ms: impl Fn() -> u64) {
    loop {
        let now = now_ms();
        let goes_on = match timers.next_ms() {
            Some(due) if due <= now => timers.fire(now).await,
            Some(due) => {
                let left = Duration::from_millis(due - now).min(LOOK_AGAIN);
                tokio::time::timeout(left, timers.changed()).await.unwrap_or(true)
            }
            None => timers.changed().await,
        };
        if !goes_on {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::{Arc, Mutex};

    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::*;

    /// Timers in a list, and what was fired when.
    struct List {
        due: Arc<Mutex<BTreeSet<u64>>>,
        next: watch::Receiver<Option<u64>>,
        fired: Arc<Mutex<Vec<u64>>>,
    }

    #[async_trait]
    impl Timers for List {
        fn next_ms(&mut self) -> Option<u64> {
            let _ = self.next.borrow_and_update();
            self.due.lock().unwrap().first().copied()
        }

        async fn changed(&mut self) -> bool {
            self.next.changed().await.is_ok()
        }

        async fn fire(&mut self, now_ms: u64) -> bool {
            self.due.lock().unwrap().retain(|due| *due > now_ms);
            self.fired.lock().unwrap().push(now_ms);
            true
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_is_fired_then_and_not_before() {
        let (due, fired) = (Arc::new(Mutex::new(BTreeSet::from([0, 500, 500, 90_000]))), Arc::default());
        let (tell, next) = watch::channel(None);
        let list = List { due: due.clone(), next, fired: Arc::clone(&fired) };
        let begun = Instant::now();
        let kept = tokio::spawn(keep(list, move || begun.elapsed().as_millis() as u64));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(*fired.lock().unwrap(), [0, 500]);
        // One that comes later and is due earlier.
        due.lock().unwrap().insert(2_000);
        tell.send(Some(2_000)).unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(*fired.lock().unwrap(), [0, 500, 2_000]);
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(*fired.lock().unwrap(), [0, 500, 2_000, 90_000]);
        drop(tell);
        kept.await.unwrap();
    }

    #[test]
    fn the_date_is_that_of_this_century() {
        assert!(now_ms() > 1_600_000_000_000);
    }
}

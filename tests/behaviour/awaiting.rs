//! Awaiting without a runtime.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::homes::SECOND;

/// Counts how often it is woken, and unparks the thread that made it.
pub struct Woken {
    count: AtomicUsize,
    thread: Thread,
}

impl Woken {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), thread: std::thread::current() })
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until it was woken this often.
    pub fn wait_for(&self, count: usize) {
        let began = std::time::Instant::now();
        while self.count() < count {
            assert!(began.elapsed() < 20 * SECOND, "woken {} times", self.count());
            std::thread::park_timeout(SECOND / 10);
        }
    }

    pub fn poll<F: Future + Unpin>(self: &Arc<Self>, future: &mut F) -> Poll<F::Output> {
        let waker = Waker::from(Arc::clone(self));
        Pin::new(future).poll(&mut Context::from_waker(&waker))
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// Sleeps until the future is woken, as the simplest of executors do.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let woken = Woken::new();
    let waker = Waker::from(Arc::clone(&woken));
    let mut future = pin!(future);
    let mut polls = 0;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        polls += 1;
        woken.wait_for(polls);
        assert!(polls < 10_000, "it is busy waiting");
    }
}

/// A waker that runs something, once.
pub struct Runs(std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl Runs {
    pub fn waker(body: impl FnOnce() + Send + 'static) -> Waker {
        Waker::from(Arc::new(Self(std::sync::Mutex::new(Some(Box::new(body))))))
    }
}

impl Wake for Runs {
    fn wake(self: Arc<Self>) {
        let body = self.0.lock().unwrap().take();
        if let Some(body) = body {
            body();
        }
    }
}

//! The two runtimes, as one.

use std::future::Future;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

/// So long a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Who polls the futures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Runtime {
    Tokio,
    Smol,
}

pub(crate) use Runtime::{Smol, Tokio};

/// Two threads each, so that tasks move between them.
static TOKIO: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    let builder = &mut tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().unwrap()
});

static SMOL: LazyLock<&'static smol::Executor<'static>> = LazyLock::new(|| {
    let executor: &smol::Executor<'_> = Box::leak(Box::default());
    for _ in 0..2 {
        std::thread::spawn(|| smol::block_on(executor.run(std::future::pending::<()>())));
    }
    executor
});

/// A task of either; dropping it cancels it.
pub(crate) enum Task<T> {
    Tokio(tokio::task::JoinHandle<T>),
    Smol(Option<smol::Task<T>>),
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        match self {
            Self::Tokio(task) => task.abort(),
            Self::Smol(task) => drop(task.take()),
        }
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut *self {
            Self::Tokio(task) => Pin::new(task).poll(context).map(Result::unwrap),
            Self::Smol(task) => Pin::new(task.as_mut().unwrap()).poll(context),
        }
    }
}

impl Runtime {
    /// Starts a task on the runtime's threads.
    pub(crate) fn spawn<F>(self, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self {
            Tokio => Task::Tokio(TOKIO.spawn(future)),
            Smol => Task::Smol(Some(SMOL.spawn(future))),
        }
    }

    /// What comes out of a future, unless it takes longer than `limit`; it is dropped then.
    pub(crate) async fn timeout<F: Future>(self, limit: Duration, future: F) -> Option<F::Output> {
        match self {
            Tokio => tokio::time::timeout(limit, future).await.ok(),
            Smol => {
                let over = async {
                    smol::Timer::after(limit).await;
                    None
                };
                smol::future::or(async { Some(future.await) }, over).await
            }
        }
    }

    /// Runs a future as a task to its end, which must come.
    pub(crate) fn run<F>(self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let task = self.spawn(async move { self.timeout(PATIENCE, future).await });
        smol::block_on(task).unwrap_or_else(|| panic!("it hangs under {self:?}"))
    }
}

/// Counts how often a future is polled.
pub(crate) struct Counted<F> {
    future: F,
    polls: usize,
}

impl<F: Future + Unpin> Counted<F> {
    pub(crate) fn new(future: F) -> Self {
        Self { future, polls: 0 }
    }
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = (F::Output, usize);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.polls += 1;
        let polls = self.polls;
        Pin::new(&mut self.future).poll(context).map(|output| (output, polls))
    }
}

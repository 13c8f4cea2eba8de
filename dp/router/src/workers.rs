//! [`Workers`]: threads that serve. Each has its own connections, of clients and of nodes, so nothing of a request goes
//! from one thread to another: waking a thread costs as much as all else that the router does for a request.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The threads. They end, with whatever they still do, when this is dropped.
#[derive(Debug)]
pub struct Workers(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// What it was given and has not ended.
    tasks: Arc<AtomicUsize>,
    /// Tells the thread to end by being dropped.
    _stop: oneshot::Sender<()>,
}

/// One task more, for as long as this is there.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// How many there are: one for each processor.
    pub fn count() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// Starts them.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn start() -> io::Result<Self> {
        let workers = (0..Self::count()).map(|number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let (stop, stopped) = oneshot::channel::<()>();
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                // Nothing is ever sent: it fails when the other end is dropped.
                let _ = runtime.block_on(stopped);
            })?;
            Ok(Worker { runtime: handle, tasks: Arc::default(), _stop: stop })
        });
        workers.collect::<io::Result<Vec<_>>>().map(Self)
    }

    /// Has the least busy one do a task, which is told the worker's number.
    pub fn give<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(usize) -> F) {
        let load = |(_, worker): &(usize, &Worker)| worker.tasks.load(Ordering::Relaxed);
        let Some((number, worker)) = self.0.iter().enumerate().min_by_key(load) else { return };
        worker.tasks.fetch_add(1, Ordering::Relaxed);
        let counted = Counted(worker.tasks.clone());
        let task = task(number);
        worker.runtime.spawn(async move {
            let _counted = counted;
            task.await;
        });
    }
}

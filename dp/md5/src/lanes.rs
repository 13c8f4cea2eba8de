//! The thread that hashes what many others bring: all of it at once.

use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::Bytes;
use fearless_simd::{Level, dispatch};

use super::compress::compress;
use super::{Lane, Md5};

/// As many as a register of AVX-512 has, or two of AVX2.
const MOST: usize = 16;

/// Blocks that are hashed before others may join: 64 KiB of each lane.
const STRETCH: usize = 1024;

/// A lane and who waits for it.
type Job = (Lane, Sender<Md5>);

/// None when there is no thread to be had.
static JOBS: LazyLock<Option<Sender<Job>>> = LazyLock::new(|| {
    let (jobs, brought) = channel();
    let thread = std::thread::Builder::new().name("md5".into());
    thread.spawn(move || serve(&brought)).ok().map(|_| jobs)
});

/// Waits until `batch` is in the digest.
pub(super) fn update(md5: &mut Md5, batch: &[Bytes]) {
    let (sender, hashed) = channel();
    let sent = JOBS.as_ref().and_then(|jobs| jobs.send((Lane::new(md5, batch), sender)).ok());
    match sent.and_then(|()| hashed.recv().ok()) {
        Some(hashed) => *md5 = hashed,
        // Without the thread it takes longer, and is right all the same.
        None => batch.iter().for_each(|bytes| md5.update(bytes)),
    }
}

fn serve(brought: &Receiver<Job>) {
    let level = Level::new();
    let mut jobs: Vec<Job> = Vec::with_capacity(MOST);
    loop {
        if jobs.is_empty() {
            let Ok(job) = brought.recv() else { return };
            jobs.push(job);
        }
        let free = MOST - jobs.len();
        jobs.extend(brought.try_iter().take(free));
        jobs.retain_mut(|(lane, waits)| {
            let is_ready = lane.is_ready();
            if !is_ready {
                // A request that has gone waits no more.
                let _ = waits.send(lane.md5.clone());
            }
            is_ready
        });
        // A lane without work costs what the others do, so few go one by one.
        match jobs.len() {
            0 => {}
            1 | 2 => jobs.chunks_mut(1).for_each(stretch::<1>),
            3..=8 => dispatch!(level, _simd => stretch::<8>(&mut jobs)),
            _ => dispatch!(level, _simd => stretch::<MOST>(&mut jobs)),
        }
    }
}

/// Hashes as far as the runs of all lanes go.
#[expect(
    clippy::inline_always,
    reason = "only as a part of `dispatch!` it is compiled for the processor at hand"
)]
#[inline(always)]
fn stretch<const LANES: usize>(jobs: &mut [Job]) {
    let count = jobs.iter().map(|(lane, _)| lane.run().len()).min().unwrap_or(0).min(STRETCH);
    // Lanes without work do the first one's again.
    let of = |lane: usize| jobs.get(lane).unwrap_or(&jobs[0]);
    let runs = std::array::from_fn(|lane| of(lane).0.run());
    let mut state = std::array::from_fn(|word| std::array::from_fn(|lane| of(lane).0.md5.state[word][0]));
    compress::<LANES>(&mut state, runs, count);
    for (at, (lane, _)) in jobs.iter_mut().enumerate() {
        lane.advance(count, state.map(|word| [word[at]]));
    }
}

//! MD5 (RFC 1321) of several bodies at once. Each step of it waits for the one before, so that one body alone is hashed
//! slower than a disk writes; the lanes of SIMD registers hash up to sixteen in little more time than one.

mod compress;
mod lanes;

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use compress::{Block, State};

/// The digest of what has passed by so far.
#[derive(Clone, Debug)]
pub struct Md5 {
    state: State<1>,
    /// Bytes since the last whole block.
    carry: Block,
    carried: usize,
    /// In bytes.
    length: u64,
}

impl Default for Md5 {
    fn default() -> Self {
        Self::new()
    }
}

impl Md5 {
    /// Of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self { state: compress::START, carry: [0; 64], carried: 0, length: 0 }
    }

    /// Takes little: this thread hashes it.
    pub fn update(&mut self, bytes: &[u8]) {
        self.length = self.length.wrapping_add(bytes.len() as u64);
        let rest = self.fill(bytes);
        if self.carried < 64 {
            return;
        }
        let (blocks, rest) = rest.as_chunks::<64>();
        compress::compress(&mut self.state, [&[self.carry]], 1);
        compress::compress(&mut self.state, [blocks], blocks.len());
        self.carried = 0;
        self.fill(rest);
    }

    /// Takes much: it is hashed beside what other threads bring at the same time, and this one waits.
    pub fn update_many(&mut self, batch: &[Bytes]) {
        lanes::update(self, batch);
    }

    /// The digest.
    #[must_use]
    pub fn finish(mut self) -> [u8; 16] {
        let bits = self.length.wrapping_mul(8);
        // Up to the last eight bytes of a block, which have the length.
        let zeros = (119 - self.carried) % 64;
        self.update(&[0x80]);
        self.update(&[0; 64][..zeros]);
        self.update(&bits.to_le_bytes());
        let mut digest = [0; 16];
        for (to, [word]) in digest.as_chunks_mut::<4>().0.iter_mut().zip(self.state) {
            *to = word.to_le_bytes();
        }
        digest
    }

    /// Takes what the carried block lacks, and answers the rest.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(64 - self.carried));
        self.carry[self.carried..self.carried + taken.len()].copy_from_slice(taken);
        self.carried += taken.len();
        rest
    }
}

/// A digest and what it is to take.
#[derive(Debug)]
struct Lane {
    md5: Md5,
    now: Bytes,
    next: VecDeque<Bytes>,
}

impl Lane {
    fn new(md5: &Md5, batch: &[Bytes]) -> Self {
        let mut md5 = md5.clone();
        md5.length = md5.length.wrapping_add(batch.iter().map(|bytes| bytes.len() as u64).sum());
        Self { md5, now: Bytes::new(), next: batch.iter().cloned().collect() }
    }

    /// Whether a whole block is left. What is less is carried.
    fn is_ready(&mut self) -> bool {
        loop {
            if self.md5.carried == 64 || (self.md5.carried == 0 && self.now.len() >= 64) {
                return true;
            }
            let rest = self.md5.fill(&self.now).len();
            self.now.advance(self.now.len() - rest);
            if self.md5.carried < 64 {
                let Some(next) = self.next.pop_front() else { return false };
                self.now = next;
            }
        }
    }

    /// The blocks that come next and lie together.
    fn run(&self) -> &[Block] {
        if self.md5.carried == 64 { std::slice::from_ref(&self.md5.carry) } else { self.now.as_chunks().0 }
    }

    /// That many blocks were hashed.
    fn advance(&mut self, blocks: usize, state: State<1>) {
        self.md5.state = state;
        if self.md5.carried == 64 {
            self.md5.carried = 0;
        } else {
            self.now.advance(blocks * 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use md5::Digest as _;
    use proptest::prelude::*;

    use super::*;

    fn reference(bytes: &[u8]) -> [u8; 16] {
        md5::Md5::digest(bytes).into()
    }

    #[test]
    fn the_digests_of_rfc_1321() {
        for (text, digest) in [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("message digest", "f96b697d7cb7938d525a2f31aaf161d0"),
            (
                "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
                "57edf4a22be3c955ac49da2e2107b67a",
            ),
        ] {
            let mut md5 = Md5::new();
            md5.update(text.as_bytes());
            assert_eq!(format!("{:032x}", u128::from_be_bytes(md5.finish())), digest, "{text}");
        }
    }

    proptest! {
        /// Whatever the pieces, and however many are hashed at once, it is the digest of another implementation.
        #[test]
        fn pieces_and_company_change_nothing(
            bodies in prop::collection::vec(prop::collection::vec(0_usize..3000, 0..6), 1..40),
        ) {
            std::thread::scope(|scope| {
                let hashed: Vec<_> = bodies.iter().enumerate().map(|(seed, sizes)| scope.spawn(move || {
                    let bytes = |(at, size): (usize, &usize)| -> Bytes {
                        (0..*size).map(|byte| u8::try_from((byte * 7 + at * 3 + seed) % 251).unwrap()).collect()
                    };
                    let batch: Vec<Bytes> = sizes.iter().enumerate().map(bytes).collect();
                    let (mut alone, mut beside) = (Md5::new(), Md5::new());
                    batch.iter().for_each(|bytes| alone.update(bytes));
                    let (first, rest) = batch.split_at(batch.len() / 2);
                    beside.update_many(first);
                    beside.update_many(rest);
                    (alone.finish(), beside.finish(), reference(&batch.concat()))
                })).collect();
                for hashed in hashed {
                    let (alone, beside, reference) = hashed.join().unwrap();
                    prop_assert_eq!(alone, reference);
                    prop_assert_eq!(beside, reference);
                }
                Ok(())
            })?;
        }
    }
}

//! The compression function of MD5 (RFC 1321, 3.4), for as many messages as there are lanes.

/// 64 bytes of a message.
pub(super) type Block = [u8; 64];

/// The words A, B, C and D of each lane.
pub(super) type State<const LANES: usize> = [[u32; LANES]; 4];

/// What a message begins with.
pub(super) const START: State<1> = [[0x6745_2301], [0xefcd_ab89], [0x98ba_dcfe], [0x1032_5476]];

/// How far the steps of each round rotate.
const ROTATIONS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// 2^32 times the sine of the step's number, in radians.
#[rustfmt::skip]
const SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a, 0xa830_4613, 0xfd46_9501,
    0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be, 0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821,
    0xf61e_2562, 0xc040_b340, 0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8, 0x676f_02d9, 0x8d2a_4c8a,
    0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c, 0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70,
    0x289b_7ec6, 0xeaa1_27fa, 0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92, 0xffef_f47d, 0x8584_5dd1,
    0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1, 0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// Takes the next `count` blocks of each lane, which must be there.
///
/// Plain loops over lanes: the compiler makes them instructions over registers, of the kind that the caller is
/// compiled for, so it must be a part of the caller.
#[expect(
    clippy::inline_always,
    reason = "only as a part of the caller it is compiled for the caller's processor"
)]
#[inline(always)]
pub(super) fn compress<const LANES: usize>(state: &mut State<LANES>, runs: [&[Block]; LANES], count: usize) {
    for at in 0..count {
        let mut words = [[0; LANES]; 16];
        for (lane, run) in runs.iter().enumerate() {
            for (word, bytes) in words.iter_mut().zip(run[at].as_chunks::<4>().0) {
                word[lane] = u32::from_le_bytes(*bytes);
            }
        }
        let before = *state;
        for step in 0..16 {
            turn(state, step, words[step % 16], |b, c, d| d ^ (b & (c ^ d)));
        }
        for step in 16..32 {
            turn(state, step, words[(5 * step + 1) % 16], |b, c, d| c ^ (d & (b ^ c)));
        }
        for step in 32..48 {
            turn(state, step, words[(3 * step + 5) % 16], |b, c, d| b ^ c ^ d);
        }
        for step in 48..64 {
            turn(state, step, words[(7 * step) % 16], |b, c, d| c ^ (b | !d));
        }
        for (word, before) in state.iter_mut().zip(before) {
            for (word, before) in word.iter_mut().zip(before) {
                *word = word.wrapping_add(before);
            }
        }
    }
}

/// One step.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn turn<const LANES: usize>(
    state: &mut State<LANES>,
    step: usize,
    word: [u32; LANES],
    mix: impl Fn(u32, u32, u32) -> u32,
) {
    let [a, b, c, d] = *state;
    let mut turned = [0; LANES];
    for lane in 0..LANES {
        turned[lane] = a[lane]
            .wrapping_add(mix(b[lane], c[lane], d[lane]))
            .wrapping_add(SINES[step])
            .wrapping_add(word[lane])
            .rotate_left(ROTATIONS[step / 16][step % 4])
            .wrapping_add(b[lane]);
    }
    *state = [d, turned, b, c];
}

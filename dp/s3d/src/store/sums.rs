//! Checksums: those that a client asks for are computed beside the MD5 that makes the ETag.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use metapaas_md5::Md5;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Sha1, Sha256};
use s3s::{S3ErrorCode, TrailingHeaders};

use super::record::Sums;
use crate::fault::{Fault, refuse};

/// Names of algorithms, as `x-amz-checksum-algorithm` writes them.
pub(crate) const ALGORITHMS: [&str; 5] = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"];

/// The five fields that many inputs of S3 have.
pub(crate) type Fields = [Option<String>; 5];

/// Takes the checksum fields out of an input, in the order of [`ALGORITHMS`].
macro_rules! fields {
    ($input:expr) => {
        [
            $input.checksum_crc32.take(),
            $input.checksum_crc32c.take(),
            $input.checksum_crc64nvme.take(),
            $input.checksum_sha1.take(),
            $input.checksum_sha256.take(),
        ]
    };
}

/// Sets the checksum fields of an output.
macro_rules! set_fields {
    ($output:expr, $sums:expr) => {{
        let sums: &$crate::store::Sums = $sums;
        let value = |name: &str| sums.values.get(name).cloned();
        $output.checksum_crc32 = value("CRC32");
        $output.checksum_crc32c = value("CRC32C");
        $output.checksum_crc64nvme = value("CRC64NVME");
        $output.checksum_sha1 = value("SHA1");
        $output.checksum_sha256 = value("SHA256");
    }};
}

pub(crate) use {fields, set_fields};

/// Hashes what passes by.
pub(crate) struct Hasher {
    md5: Md5,
    others: ChecksumHasher,
}

/// What a client says about the bytes it sends.
#[derive(Default)]
pub(crate) struct Claims {
    pub(crate) md5: Option<String>,
    pub(crate) fields: Fields,
    /// The algorithm of a checksum that is to be computed though no value is claimed, or that comes behind the body.
    pub(crate) algorithm: Option<String>,
    pub(crate) trailers: Option<TrailingHeaders>,
}

impl Hasher {
    /// For the algorithms named.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut others = ChecksumHasher::default();
        for name in names {
            match name {
                "CRC32" => others.crc32 = Some(Crc32::new()),
                "CRC32C" => others.crc32c = Some(Crc32c::new()),
                "CRC64NVME" => others.crc64nvme = Some(Crc64Nvme::new()),
                "SHA1" => others.sha1 = Some(Sha1::new()),
                "SHA256" => others.sha256 = Some(Sha256::new()),
                _ => {}
            }
        }
        Self { md5: Md5::new(), others }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.others.update(bytes);
    }

    /// The same for much at once; it blocks.
    pub(crate) fn update_many(&mut self, batch: &[Bytes]) {
        self.md5.update_many(batch);
        batch.iter().for_each(|bytes| self.others.update(bytes));
    }

    /// The MD5 and the checksums.
    pub(crate) fn finish(self) -> ([u8; 16], Sums) {
        let mut sums = self.others.finalize();
        let values = ALGORITHMS.iter().zip(fields!(sums));
        let values = values.filter_map(|(name, value)| Some(((*name).to_owned(), value?))).collect();
        (self.md5.finish(), Sums { values, composite: false })
    }
}

impl Claims {
    /// A hasher for all that is claimed.
    pub(crate) fn hasher(&self) -> Hasher {
        let claimed =
            ALGORITHMS.iter().zip(&self.fields).filter(|(_, value)| value.is_some()).map(|(name, _)| *name);
        Hasher::new(claimed.chain(self.algorithm.as_deref()))
    }

    /// Refuses bytes that are not those that were claimed.
    pub(crate) fn check(&self, md5: &[u8; 16], sums: &Sums) -> Result<(), Fault> {
        if let Some(claimed) = &self.md5 {
            let claimed = STANDARD.decode(claimed).ok().filter(|claimed| claimed.len() == md5.len());
            if claimed.ok_or(S3ErrorCode::InvalidDigest)? != md5 {
                return Err(S3ErrorCode::BadDigest.into());
            }
        }
        for (name, claimed) in ALGORITHMS.iter().zip(&self.fields) {
            let header = format!("x-amz-checksum-{}", name.to_ascii_lowercase());
            let trailing = self.trailers.as_ref().and_then(|trailers| {
                trailers.read(|headers| headers.get(&header)?.to_str().ok().map(str::to_owned)).flatten()
            });
            if let Some(claimed) = claimed.as_ref().or(trailing.as_ref())
                && sums.values.get(*name) != Some(claimed)
            {
                let message = format!("The {name} you specified did not match the calculated checksum.");
                return Err(refuse(S3ErrorCode::BadDigest, message));
            }
        }
        Ok(())
    }
}

/// The checksum of an object that was uploaded in parts, from theirs and their sizes.
pub(crate) fn of_parts(name: &str, full_object: bool, parts: &[(Option<&String>, u64)]) -> Option<Sums> {
    let decoded: Option<Vec<(Vec<u8>, u64)>> =
        parts.iter().map(|(value, size)| Some((STANDARD.decode((*value)?).ok()?, *size))).collect();
    let decoded = decoded?;
    let value = if full_object {
        let (algorithm, width) = match name {
            "CRC32" => (CrcAlgorithm::Crc32IsoHdlc, 4),
            "CRC32C" => (CrcAlgorithm::Crc32Iscsi, 4),
            "CRC64NVME" => (CrcAlgorithm::Crc64Nvme, 8),
            _ => return None,
        };
        let number = |bytes: &[u8]| bytes.iter().fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
        let mut all = decoded.iter();
        let mut sum = number(&all.next()?.0);
        for (value, size) in all {
            sum = crc_fast::checksum_combine(algorithm, sum, number(value), *size);
        }
        STANDARD.encode(&sum.to_be_bytes()[8 - width..])
    } else {
        let mut hasher = Hasher::new([name]);
        decoded.iter().for_each(|(value, _)| hasher.update(value));
        format!("{}-{}", hasher.finish().1.values.get(name)?, parts.len())
    };
    Some(Sums { values: BTreeMap::from([(name.to_owned(), value)]), composite: !full_object })
}

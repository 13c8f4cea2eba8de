//! The engine as a program of its own: `metapaas-s3d ADDRESS DOCUMENT_FILE DATA_DIR`.

use std::process::ExitCode;

fn main() -> ExitCode {
    metapaas_s3d::engine(std::env::args_os().skip(1).collect())
}

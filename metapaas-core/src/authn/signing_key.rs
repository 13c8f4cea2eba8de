//! The key that signs access tokens: made once per installation, sealed in the database.

use zeroize::Zeroizing;

use crate::error::{Error, ErrorCode};
use crate::secret::{KeyRing, random_bytes};
use crate::store::Database;
use crate::store::iam::IamStore;

const SETTING: &str = "token_signing_key";

/// Reads the installation's signing key, or makes it. Of several control planes that start at once all get the same.
///
/// # Errors
/// `Internal` when the key was sealed under a master key that `keys` does not hold, `Unavailable`.
pub async fn load_or_create_signing_key(
    database: &Database,
    keys: &KeyRing,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let store = IamStore::new(database.clone());
    let stored = match store.setting(SETTING).await? {
        Some(stored) => stored,
        None => {
            let sealed = keys.seal(SETTING, &*Zeroizing::new(random_bytes::<32>()));
            store
                .write("make the token signing key", move |mut tx| {
                    Box::pin(async move { Ok(tx.put_setting_if_absent(SETTING, &sealed).await?) })
                })
                .await?;
            let missing = || Error::internal("the token signing key is gone right after it was written");
            store.setting(SETTING).await?.ok_or_else(missing)?
        }
    };
    keys.open(SETTING, &stored).map_err(|source| Error {
        source: Some(source.into()),
        ..Error::new(
            ErrorCode::Internal,
            "the token signing key in the database was sealed under another master key; \
             start with the master key file of this installation",
        )
    })
}

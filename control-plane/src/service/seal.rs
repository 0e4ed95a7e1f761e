//! Sealing a secret under its owner's data key, which is made where there is none yet.

use switchyard_proto::secret::Secret;

use crate::{
    crypto::{Crypto, Place, Sealed},
    domain::permission::Allowed,
    error::ServiceError,
    store::{self, revision::Change},
};

/// Seals a secret for one place; the right is that to write what the secret belongs to.
///
/// # Errors
/// When the master key is out of reach.
pub async fn seal<A>(
    change: &mut Change,
    allowed: &Allowed<A>,
    crypto: &Crypto,
    (place, secret): (Place, &Secret),
) -> Result<Sealed, ServiceError> {
    let key = match store::sealed::data_key(change.connection(), place.owner()).await? {
        Some(key) => key,
        None => {
            let key = crypto.new_data_key(place.owner()).await?;
            store::sealed::add_data_key(change, allowed, &key).await?
        }
    };
    Ok(crypto.seal(key, place, secret).await?)
}

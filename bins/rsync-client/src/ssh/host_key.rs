//! The host keys of `server`: made once, and kept on their volume, so that clients never see another one.

use std::path::{Path, PathBuf};

use super::key::{KeyError, KeyType, make_pair, prepare_folder, take_lock};

/// The folder with the host keys.
#[derive(Clone, Debug)]
pub struct HostKeys {
    folder: PathBuf,
}

impl HostKeys {
    /// The host keys in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The private host keys, as sshd names them; each kind is made if it is missing.
    ///
    /// # Errors
    /// When they are not there afterwards.
    pub async fn ensure(&self) -> Result<Vec<PathBuf>, KeyError> {
        prepare_folder(&self.folder)?;
        let _lock = take_lock(&self.folder).await?;
        let mut keys = Vec::new();
        for (kind, file) in [
            (KeyType::Ed25519, "ssh_host_ed25519_key"),
            (KeyType::Ecdsa, "ssh_host_ecdsa_key"),
            (KeyType::Rsa, "ssh_host_rsa_key"),
        ] {
            let path = self.folder.join(file);
            // RSA keys take seconds, and clients that need one are rare: only one that was there before is used.
            if !path.exists() && kind != KeyType::Rsa {
                make_pair(kind, &path).await?;
            }
            if path.exists() {
                keys.push(path);
            }
        }
        Ok(keys)
    }
}

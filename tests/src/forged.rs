//! A backup set that somebody wrote by hand: any dump, any archive, any manifest, and sums that fit all of it.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a journey without its forger can only fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

/// The folder of a set that is being forged.
#[derive(Debug)]
pub struct Forged(PathBuf);

impl Forged {
    /// The set in this folder.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Change the text of the dump.
    pub fn dump(&self, edit: impl FnOnce(&str) -> String) -> &Self {
        let path = self.0.join("database.sql.zst");
        let text = zstd::decode_all(&*fs::read(&path).unwrap()).unwrap();
        let edited = edit(std::str::from_utf8(&text).unwrap());
        fs::write(&path, zstd::encode_all(edited.as_bytes(), 1).unwrap()).unwrap();
        self.fit()
    }

    /// Put statements behind everything else that the dump does.
    pub fn statements(&self, statements: &str) -> &Self {
        self.dump(|text| {
            // The same words may stand in a row.
            let end = text.rfind("-- Dump completed").unwrap();
            format!("{}{statements}\n{}", &text[..end], &text[end..])
        })
    }

    /// Put what `tar` makes of a folder in the place of an archive; `words` are its options and the names.
    pub fn archive(&self, name: &str, folder: &Path, words: &[&str]) -> &Self {
        let mut tar = Command::new("tar");
        tar.args(["--create", "--file=-", "--numeric-owner", "--absolute-names"]).arg("--directory").arg(folder);
        let output = tar.args(words).stderr(Stdio::inherit()).output().expect("tar");
        assert!(output.status.success(), "tar {words:?}");
        fs::write(self.0.join(name), zstd::encode_all(&*output.stdout, 1).unwrap()).unwrap();
        self.fit()
    }

    /// Change the manifest.
    pub fn manifest(&self, edit: impl FnOnce(&mut Json)) -> &Self {
        let mut manifest = self.read();
        edit(&mut manifest);
        self.write(&manifest);
        self
    }

    fn read(&self) -> Json {
        serde_json::from_slice(&fs::read(self.0.join("manifest.json")).unwrap()).unwrap()
    }

    /// Sizes and sums of all members, computed anew.
    fn fit(&self) -> &Self {
        let mut manifest = self.read();
        for member in manifest["members"].as_array_mut().unwrap() {
            let name = member["name"].as_str().unwrap().to_owned();
            let file = fs::read(self.0.join(&name)).unwrap();
            let plain = if name.ends_with(".zst") { zstd::decode_all(&*file).unwrap() } else { file.clone() };
            (member["bytes"], member["sha256"]) = (file.len().into(), sum(&file).into());
            (member["plain_bytes"], member["plain_sha256"]) = (plain.len().into(), sum(&plain).into());
        }
        self.write(&manifest);
        self
    }

    /// Writes the manifest, and the list of sums as the program does.
    fn write(&self, manifest: &Json) {
        let text = serde_json::to_vec_pretty(manifest).unwrap();
        let text_of = |value: &Json| value.as_str().unwrap().to_owned();
        let members = manifest["members"].as_array().unwrap().iter();
        let lines = members.map(|member| format!("{}  {}\n", text_of(&member["sha256"]), text_of(&member["name"])));
        let sums: String = lines.chain([format!("{}  manifest.json\n", sum(&text))]).collect();
        fs::write(self.0.join("manifest.json"), text).unwrap();
        fs::write(self.0.join("SHA256SUMS"), sums).unwrap();
    }
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

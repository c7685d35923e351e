//! Servers that are too old for our ssh: what it says names the setting that lets them in.

/// What ssh says when both sides have no algorithm in common, and the setting that adds one.
const SETTINGS: [(&str, &str); 4] = [
    ("no matching host key type found", "HostKeyAlgorithms"),
    ("no matching key exchange method found", "KexAlgorithms"),
    ("no matching cipher found", "Ciphers"),
    ("no matching MAC found", "MACs"),
];
/// Of what old servers offer, the least bad first. All are known to OpenSSH 9.2, and not used without being asked for.
const LEAST_BAD: [&str; 12] = [
    "ssh-rsa",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
    "aes256-cbc",
    "aes192-cbc",
    "aes128-cbc",
    "3des-cbc",
    "hmac-sha1-96",
    "hmac-md5",
    "hmac-md5-96",
    "ssh-dss",
];

/// What lets this server in, if it is too old. Nothing where ssh says nothing of that.
pub fn cure(said: &str) -> Option<String> {
    let line = match setting(said) {
        Some(line) => line,
        None if said.contains("no mutual signature") => "PubkeyAcceptedAlgorithms +ssh-rsa".to_owned(),
        None if said.contains("Invalid key length") => "RequiredRSASize 1024".to_owned(),
        None => return None,
    };
    let option = line.replacen(' ', "=", 1);
    let more = if line.ends_with("+ssh-rsa") && line.starts_with("HostKey") {
        " (and `PubkeyAcceptedAlgorithms +ssh-rsa`, if our key is an RSA key)"
    } else {
        ""
    };
    Some(format!(
        "let the server be updated; until then add the line `{line}` to the file config in SSH_DIR{more}, or `-o {option}` to ssh in the command"
    ))
}

fn setting(said: &str) -> Option<String> {
    let (words, setting) = SETTINGS.iter().find(|(words, _)| said.contains(words))?;
    let rest = &said[said.find(words)?..];
    let offer = rest.split_once("Their offer: ")?.1.lines().next()?.trim();
    let offered: Vec<&str> = offer.split(',').collect();
    let algorithm = LEAST_BAD.iter().find(|known| offered.contains(known)).or(offered.first())?;
    Some(format!("{setting} +{algorithm}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_follows_from_what_ssh_says() {
        for (said, line) in [
            ("no matching host key type found. Their offer: ssh-dss,ssh-rsa\nmore", "HostKeyAlgorithms +ssh-rsa"),
            (
                "no matching key exchange method found. Their offer: diffie-hellman-group1-sha1,diffie-hellman-group14-sha1",
                "KexAlgorithms +diffie-hellman-group14-sha1",
            ),
            ("no matching cipher found. Their offer: aes128-cbc,3des-cbc", "Ciphers +aes128-cbc"),
            ("no matching MAC found. Their offer: hmac-new", "MACs +hmac-new"),
            ("sign_and_send_pubkey: no mutual signature supported", "PubkeyAcceptedAlgorithms +ssh-rsa"),
            ("Bad server host key: Invalid key length", "RequiredRSASize 1024"),
        ] {
            let cure = cure(said).unwrap();
            assert!(cure.contains(&format!("`{line}`")), "{cure}");
        }
        assert_eq!(cure("Connection refused"), None);
    }
}

//! SSH_PARAMS: words for sshd that leave it as strict as we made it.

use crate::script::words;

/// Options of sshd_config that say where and how patiently it listens, which algorithms it speaks, and who may not come
/// in. Whatever could let a key do more than its forced command is not among them.
const OPTIONS: [&str; 33] = [
    "addressfamily",
    "allowgroups",
    "allowusers",
    "casignaturealgorithms",
    "ciphers",
    "clientalivecountmax",
    "clientaliveinterval",
    "compression",
    "denygroups",
    "denyusers",
    "fingerprinthash",
    "hostkeyalgorithms",
    "ipqos",
    "kexalgorithms",
    "listenaddress",
    "logingracetime",
    "loglevel",
    "macs",
    "maxauthtries",
    "maxsessions",
    "maxstartups",
    "persourcemaxstartups",
    "persourcenetblocksize",
    "port",
    "pubkeyacceptedalgorithms",
    "pubkeyacceptedkeytypes",
    "pubkeyauthoptions",
    "rekeylimit",
    "requiredrsasize",
    "syslogfacility",
    "tcpkeepalive",
    "usedns",
    "versionaddendum",
];

/// The words of SSH_PARAMS, if all of them may be passed on.
///
/// # Errors
/// With a sentence that names the one that may not.
pub fn parameters(text: &str) -> Result<Vec<String>, String> {
    let given = words(text).ok_or("it is no list of plain words")?;
    let mut rest = given.iter();
    while let Some(word) = rest.next() {
        let option = match word.as_str() {
            "-4" | "-6" => continue,
            "-p" | "-g" => {
                let number = rest.next().filter(|number| number.bytes().all(|b| b.is_ascii_digit()));
                number.ok_or_else(|| format!("{word} needs a number"))?;
                continue;
            }
            "-o" => rest.next().ok_or("-o needs an option")?.as_str(),
            word => word.strip_prefix("-o").ok_or_else(|| format!("{word} is not taken"))?,
        };
        let name = option.split(['=', ' ', '\t']).next().unwrap_or_default();
        if !OPTIONS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(format!("the option {name} is not taken"));
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_and_how_sshd_listens_may_be_said() {
        for text in [
            "",
            "-o ListenAddress=10.0.0.1",
            "-o 'ListenAddress 10.0.0.1' -oLogLevel=VERBOSE -4 -p 2222",
            "-o hostkeyalgorithms=+ssh-rsa -o PubkeyAcceptedAlgorithms=+ssh-rsa",
        ] {
            assert!(parameters(text).is_ok(), "{text}: {:?}", parameters(text));
        }
    }

    #[test]
    fn what_opens_a_door_is_refused() {
        for text in [
            "-o PermitRootLogin=yes",
            "-oPermitRootLogin=yes",
            "-o permitrootlogin=yes",
            "-o AuthorizedKeysFile=/data/keys",
            "-o AuthorizedKeysCommand=/data/x",
            "-o ForceCommand=sh",
            "-o Subsystem='sftp internal-sftp'",
            "-o PasswordAuthentication=yes",
            "-o TrustedUserCAKeys=/data/ca",
            "-o PermitUserEnvironment=yes",
            "-o AcceptEnv=*",
            "-o DisableForwarding=no",
            "-o Include=/data/conf",
            "-o 'Match all'",
            "-o HostKey=/data/key",
            "-f /data/conf",
            "-D",
            "-h /data/key",
            "-p x",
            "-o",
            "-o LogLevel=INFO; sh",
            "x",
        ] {
            assert!(parameters(text).is_err(), "{text}");
        }
    }
}

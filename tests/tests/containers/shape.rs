//! What an image says of itself: labels, user, entry point, health check, and what is not in it.

use serde_json::Value;
use tests::engine::{Recipe, docker, image};

/// Name, user, whether it stands on nothing.
const IMAGES: [(&str, &str, bool); 5] = [
    ("log-analytics", "1000:1000", true),
    ("archiver", "1000:1000", true),
    ("rsync-client", "1000:1000", false),
    ("maintenance", "0:0", false),
    ("postfix-config", "0:0", false),
];

#[test]
fn c_135_images_say_what_they_are_and_are_no_more() {
    for (name, user, is_empty) in IMAGES {
        let program = format!("/usr/local/bin/{name}");
        let config = docker(&["image", "inspect", "--format", "{{json .Config}}", &image(name)]).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["User"], user, "{name}");
        assert_eq!(config["Entrypoint"], serde_json::json!([program]), "{name}");
        assert_eq!(config["Cmd"], serde_json::json!(["run"]), "{name}");
        assert_eq!(config["StopSignal"], "SIGTERM", "{name}");
        assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD", program, "health"]), "{name}");
        for label in ["title", "description", "version", "revision", "created", "licenses", "vendor", "documentation"] {
            let label = format!("org.opencontainers.image.{label}");
            assert!(config["Labels"][&label].as_str().is_some_and(|text| !text.is_empty()), "{name}: {label}");
        }
        let shell = Recipe::of(name).with(&["--entrypoint", "/bin/sh"]).create(&["-c", "exit 0"]);
        assert_eq!(docker(&["start", shell.id()]).is_err(), is_empty, "{name}: a shell");
        let version = Recipe::of(name).hardened().run(&["--version"]).is(0);
        version.says(&[name, env!("CARGO_PKG_VERSION")]);
    }
}

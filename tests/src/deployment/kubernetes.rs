//! Manifests for Kubernetes, made of the compose file and of what the sidecars declare.

use serde_json::{Value, json};

use super::compose::{Service, Stack, when_unset};
use super::reference::variables;

const HEAD: &str = "\
# Generated from compose/compose.yml and the declarations of the programs; do not edit by hand.
# Other variables go into a ConfigMap, secrets into files of a Secret, volumes are claims: compose/kubernetes/README.md.
";

/// What a schedule is called, and the words of one run.
const JOBS: [(&str, &str, &[&str]); 4] = [
    ("archiver", "MATOMO_ARCHIVE_CRON", &["once"]),
    ("log-analytics", "MATOMO_IMPORT_LOGS_CRON", &["once"]),
    ("maintenance", "MAINTENANCE_BACKUP_CRON", &["backup"]),
    ("rsync-client", "MATOMO_RSYNC_LOGS_CRON", &["once"]),
];

/// The files below `compose/kubernetes`: a name and a text each.
pub fn manifests() -> Vec<(String, String)> {
    let stack = Stack::of("compose/compose.yml");
    let mut files = Vec::new();
    for (sidecar, service) in stack.sidecars() {
        files.push((format!("{sidecar}-deployment.yaml"), page(&deployment(&sidecar, &service))));
        if let Some((_, cron, words)) = JOBS.iter().find(|(name, ..)| *name == sidecar) {
            files.push((format!("{sidecar}-cronjob.yaml"), page(&cron_job(&sidecar, &service, cron, words))));
        }
    }
    files
}

fn page(document: &Value) -> String {
    let text = serde_norway::to_string(document).unwrap_or_else(|error| panic!("no YAML: {error}"));
    HEAD.to_owned() + &text
}

fn deployment(sidecar: &str, service: &Service<'_>) -> Value {
    let labels = json!({ "app.kubernetes.io/name": sidecar });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": sidecar, "labels": labels },
        "spec": {
            "replicas": 1,
            // Two of them would only wait for each other.
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod(sidecar, service, &["run"]) },
        },
    })
}

fn cron_job(sidecar: &str, service: &Service<'_>, cron: &str, words: &[&str]) -> Value {
    let declared = variables(sidecar);
    let default = |name: &str| declared.get(name).cloned().flatten().unwrap_or_default();
    let mut spec = pod(sidecar, service, words);
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": { "name": sidecar, "labels": { "app.kubernetes.io/name": sidecar } },
        "spec": {
            "schedule": of_five_fields(&default(cron)),
            "timeZone": default("TZ"),
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 600,
            "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 3,
            // The programs try again themselves.
            "jobTemplate": { "spec": { "backoffLimit": 0, "template": { "spec": spec } } },
        },
    })
}

fn pod(sidecar: &str, service: &Service<'_>, words: &[&str]) -> Value {
    let added = service.list("cap_add");
    let mut container = json!({
        "name": sidecar,
        "image": when_unset(service.get("image").as_str().unwrap_or_default()),
        "args": words,
        "env": environment(service),
        "envFrom": [{ "configMapRef": { "name": sidecar, "optional": true } }],
        "resources": { "limits": { "memory": memory(service) } },
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": if added.is_empty() { json!({ "drop": ["ALL"] }) } else { json!({ "drop": ["ALL"], "add": added }) },
        },
        "volumeMounts": mounts(service),
    });
    if words == ["run"] {
        // Shown, and nothing more: no restart cures what makes it unwell.
        container["readinessProbe"] = json!({ "exec": { "command": [format!("/usr/local/bin/{sidecar}"), "health"] }, "periodSeconds": 30, "timeoutSeconds": 10 });
    }
    // The images of the others begin as root, with the few capabilities above.
    let user = json!({ "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000 });
    let mut security = if added.is_empty() { user } else { json!({}) };
    security["seccompProfile"] = json!({ "type": "RuntimeDefault" });
    json!({
        "automountServiceAccountToken": false,
        "containers": [container],
        "securityContext": security,
        "terminationGracePeriodSeconds": seconds(service.get("stop_grace_period").as_str().unwrap_or("10s")),
        "volumes": volumes(service),
    })
}

/// Only what the compose file sets by itself: the rest comes from the ConfigMap or is the program's own default.
fn environment(service: &Service<'_>) -> Vec<Value> {
    let all = service.environment().into_iter().map(|(name, value)| (name, when_unset(&value)));
    all.filter(|(_, value)| !value.is_empty()).map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

fn mounts(service: &Service<'_>) -> Vec<Value> {
    let claims = service.list("volumes").into_iter().filter_map(|volume| volume.split_once(':'));
    let mut mounts: Vec<Value> = claims.map(|(name, path)| json!({ "name": name, "mountPath": path })).collect();
    let temporary = service.list("tmpfs").into_iter();
    mounts.extend(temporary.map(|path| json!({ "name": temporary_name(path), "mountPath": path })));
    if !service.list("secrets").is_empty() {
        mounts.push(json!({ "name": "secrets", "mountPath": "/run/secrets", "readOnly": true }));
    }
    mounts
}

fn volumes(service: &Service<'_>) -> Vec<Value> {
    let claims = service.list("volumes").into_iter().filter_map(|volume| volume.split(':').next());
    let claim = |name: &str| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
    let mut volumes: Vec<Value> = claims.map(claim).collect();
    let temporary = service.list("tmpfs").into_iter();
    volumes.extend(temporary.map(|path| json!({ "name": temporary_name(path), "emptyDir": { "medium": "Memory" } })));
    let secrets = service.list("secrets");
    if !secrets.is_empty() {
        let items: Vec<Value> = secrets.iter().map(|name| json!({ "key": name, "path": name })).collect();
        // A key that is missing is named by the program that wants it; not every stack has every secret.
        let secret = json!({ "secretName": "matomo-sidecars", "items": items, "optional": true });
        volumes.push(json!({ "name": "secrets", "secret": secret }));
    }
    volumes
}

fn temporary_name(path: &str) -> String {
    format!("tmpfs{}", path.replace('/', "-"))
}

/// `64m` in compose's words is `64Mi` in Kubernetes'.
fn memory(service: &Service<'_>) -> String {
    let limit = when_unset(service.get("mem_limit").as_str().unwrap_or_default());
    limit.replace('m', "Mi").replace('g', "Gi")
}

fn seconds(span: &str) -> u64 {
    let (number, unit) = span.split_at(span.len() - 1);
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("not understood: {span}"));
    match unit {
        "s" => number,
        "m" => number * 60,
        _ => panic!("not understood: {span}"),
    }
}

/// Kubernetes knows no seconds.
fn of_five_fields(cron: &str) -> String {
    let five = cron.strip_prefix("0 ").filter(|rest| rest.split(' ').count() == 5);
    five.unwrap_or_else(|| panic!("`{cron}` cannot be said without seconds")).to_owned()
}

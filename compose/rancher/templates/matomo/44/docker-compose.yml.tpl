version: "2"

# Rancher fills in the answers of the form; an empty variable counts as not set.
services:
  {{- if eq .Values.WITH_MARIADB "true"}}
  mariadb:
    image: ${MARIADB_IMAGE}
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.MARIADB_HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${MARIADB_HOST_LABELS}"
      {{- else}}
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      {{- end}}
    environment:
      TZ: "${TZ}"
      MARIADB_DATABASE: "${MATOMO_DATABASE_NAME}"
      MARIADB_USER: "${MATOMO_DATABASE_USER}"
      MARIADB_PASSWORD: "${MATOMO_DATABASE_PASSWORD}"
      MARIADB_PASSWORD_FILE: "${MATOMO_DATABASE_PASSWORD_FILE}"
      MARIADB_ROOT_USER: "${MARIADB_ROOT_USER}"
      MARIADB_ROOT_PASSWORD: "${MARIADB_ROOT_PASSWORD}"
      MARIADB_ROOT_PASSWORD_FILE: "${MARIADB_ROOT_PASSWORD_FILE}"
    volumes:
      - mariadb:${MARIADB_DIR}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}

  matomo:
    image: ${MATOMO_IMAGE}
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      MATOMO_DATABASE_HOST: "${MARIADB_HOST}"
      MATOMO_DATABASE_PORT_NUMBER: "${MARIADB_PORT_NUMBER}"
      MATOMO_DATABASE_NAME: "${MATOMO_DATABASE_NAME}"
      MATOMO_DATABASE_USER: "${MATOMO_DATABASE_USER}"
      MATOMO_DATABASE_PASSWORD: "${MATOMO_DATABASE_PASSWORD}"
      MATOMO_DATABASE_PASSWORD_FILE: "${MATOMO_DATABASE_PASSWORD_FILE}"
      MATOMO_DATABASE_DBNAME: "${MATOMO_DATABASE_NAME}"
      MATOMO_DATABASE_USERNAME: "${MATOMO_DATABASE_USER}"
      MATOMO_USERNAME: "${MATOMO_USERNAME}"
      MATOMO_PASSWORD: "${MATOMO_PASSWORD}"
      MATOMO_EMAIL: "${MATOMO_EMAIL}"
      MATOMO_WEBSITE_NAME: "${MATOMO_WEBSITE_NAME}"
      MATOMO_WEBSITE_HOST: "${MATOMO_WEBSITE_HOST}"
    volumes:
      - matomo:${MATOMO_DIR}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}

  # It keeps running and times its jobs itself, or Rancher starts one container for each job.
  archiver:
    {{- if .Values.ARCHIVER_IMAGE}}
    image: ${ARCHIVER_IMAGE}
    user: root
    cap_add: [DAC_OVERRIDE, KILL, SETGID, SETUID]
    {{- else}}
    image: ${REGISTRY}/archiver:${TAG}
    mem_limit: 64m
    {{- end}}
    {{- if eq .Values.RANCHER_CRON "true"}}
    command: [once]
    {{- end}}
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      {{- if eq .Values.RANCHER_CRON "true"}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${MATOMO_ARCHIVE_CRON}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      ARCHIVE_MODE: "${ARCHIVE_MODE}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_TOKEN: "${ARCHIVER_TOKEN}"
      MATOMO_TOKEN_FILE: "${ARCHIVER_TOKEN_FILE}"
      MATOMO_ARCHIVE_CRON: "${MATOMO_ARCHIVE_CRON}"
      SCHEDULED_TASKS_CRON: "${SCHEDULED_TASKS_CRON}"
      CONCURRENT_ARCHIVERS: "${CONCURRENT_ARCHIVERS}"
      CONCURRENT_REQS_PER_WEBSITE: "${CONCURRENT_REQS_PER_WEBSITE}"
      IDSITE: "${IDSITE}"
      EXCLUDEIDSITE: "${EXCLUDEIDSITE}"
      PHP_MEMORY_LIMIT: "${PHP_MEMORY_LIMIT}"
      ARCHIVE_OPTIONS: "${ARCHIVE_OPTIONS}"
      ARCHIVE_FREE_STUCK: "${ARCHIVE_FREE_STUCK}"
      MATOMO_LDAP_CRON: "${MATOMO_LDAP_CRON}"
      MATOMO_DELETE_CRON: "${MATOMO_DELETE_CRON}"
      DAYS_TO_KEEP: "${DAYS_TO_KEEP}"
      SITE_TO_DELETE: "${SITE_TO_DELETE}"
      PREPARE_ENVIRONMENT: "${PREPARE_ENVIRONMENT}"
      JOB_TIMEOUT: "${JOB_TIMEOUT}"
      JOB_WARN_AFTER: "${JOB_WARN_AFTER}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${ARCHIVER_PING_URL}"
    volumes:
      - archiver:/var/lib/archiver
      {{- if .Values.ARCHIVER_IMAGE}}
      - matomo:${MATOMO_DIR}
      {{- end}}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}

  {{- if eq .Values.RANCHER_CRON "true"}}
  {{- if .Values.SCHEDULED_TASKS_CRON}}
  archiver-tasks:
    {{- if .Values.ARCHIVER_IMAGE}}
    image: ${ARCHIVER_IMAGE}
    user: root
    cap_add: [DAC_OVERRIDE, KILL, SETGID, SETUID]
    {{- else}}
    image: ${REGISTRY}/archiver:${TAG}
    mem_limit: 64m
    {{- end}}
    command: [once, scheduled-tasks]
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${SCHEDULED_TASKS_CRON}"
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      ARCHIVE_MODE: "${ARCHIVE_MODE}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_TOKEN: "${ARCHIVER_TOKEN}"
      MATOMO_TOKEN_FILE: "${ARCHIVER_TOKEN_FILE}"
      MATOMO_ARCHIVE_CRON: "${MATOMO_ARCHIVE_CRON}"
      SCHEDULED_TASKS_CRON: "${SCHEDULED_TASKS_CRON}"
      CONCURRENT_ARCHIVERS: "${CONCURRENT_ARCHIVERS}"
      CONCURRENT_REQS_PER_WEBSITE: "${CONCURRENT_REQS_PER_WEBSITE}"
      IDSITE: "${IDSITE}"
      EXCLUDEIDSITE: "${EXCLUDEIDSITE}"
      PHP_MEMORY_LIMIT: "${PHP_MEMORY_LIMIT}"
      ARCHIVE_OPTIONS: "${ARCHIVE_OPTIONS}"
      ARCHIVE_FREE_STUCK: "${ARCHIVE_FREE_STUCK}"
      MATOMO_LDAP_CRON: "${MATOMO_LDAP_CRON}"
      MATOMO_DELETE_CRON: "${MATOMO_DELETE_CRON}"
      DAYS_TO_KEEP: "${DAYS_TO_KEEP}"
      SITE_TO_DELETE: "${SITE_TO_DELETE}"
      PREPARE_ENVIRONMENT: "${PREPARE_ENVIRONMENT}"
      JOB_TIMEOUT: "${JOB_TIMEOUT}"
      JOB_WARN_AFTER: "${JOB_WARN_AFTER}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${ARCHIVER_PING_URL}"
    volumes:
      - archiver:/var/lib/archiver
      {{- if .Values.ARCHIVER_IMAGE}}
      - matomo:${MATOMO_DIR}
      {{- end}}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}
  {{- if .Values.MATOMO_LDAP_CRON}}
  archiver-ldap:
    {{- if .Values.ARCHIVER_IMAGE}}
    image: ${ARCHIVER_IMAGE}
    user: root
    cap_add: [DAC_OVERRIDE, KILL, SETGID, SETUID]
    {{- else}}
    image: ${REGISTRY}/archiver:${TAG}
    mem_limit: 64m
    {{- end}}
    command: [once, ldap]
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${MATOMO_LDAP_CRON}"
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      ARCHIVE_MODE: "${ARCHIVE_MODE}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_TOKEN: "${ARCHIVER_TOKEN}"
      MATOMO_TOKEN_FILE: "${ARCHIVER_TOKEN_FILE}"
      MATOMO_ARCHIVE_CRON: "${MATOMO_ARCHIVE_CRON}"
      SCHEDULED_TASKS_CRON: "${SCHEDULED_TASKS_CRON}"
      CONCURRENT_ARCHIVERS: "${CONCURRENT_ARCHIVERS}"
      CONCURRENT_REQS_PER_WEBSITE: "${CONCURRENT_REQS_PER_WEBSITE}"
      IDSITE: "${IDSITE}"
      EXCLUDEIDSITE: "${EXCLUDEIDSITE}"
      PHP_MEMORY_LIMIT: "${PHP_MEMORY_LIMIT}"
      ARCHIVE_OPTIONS: "${ARCHIVE_OPTIONS}"
      ARCHIVE_FREE_STUCK: "${ARCHIVE_FREE_STUCK}"
      MATOMO_LDAP_CRON: "${MATOMO_LDAP_CRON}"
      MATOMO_DELETE_CRON: "${MATOMO_DELETE_CRON}"
      DAYS_TO_KEEP: "${DAYS_TO_KEEP}"
      SITE_TO_DELETE: "${SITE_TO_DELETE}"
      PREPARE_ENVIRONMENT: "${PREPARE_ENVIRONMENT}"
      JOB_TIMEOUT: "${JOB_TIMEOUT}"
      JOB_WARN_AFTER: "${JOB_WARN_AFTER}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${ARCHIVER_PING_URL}"
    volumes:
      - archiver:/var/lib/archiver
      {{- if .Values.ARCHIVER_IMAGE}}
      - matomo:${MATOMO_DIR}
      {{- end}}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}
  {{- if .Values.MATOMO_DELETE_CRON}}
  archiver-delete:
    {{- if .Values.ARCHIVER_IMAGE}}
    image: ${ARCHIVER_IMAGE}
    user: root
    cap_add: [DAC_OVERRIDE, KILL, SETGID, SETUID]
    {{- else}}
    image: ${REGISTRY}/archiver:${TAG}
    mem_limit: 64m
    {{- end}}
    command: [once, delete-raw-data]
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${MATOMO_DELETE_CRON}"
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      ARCHIVE_MODE: "${ARCHIVE_MODE}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_TOKEN: "${ARCHIVER_TOKEN}"
      MATOMO_TOKEN_FILE: "${ARCHIVER_TOKEN_FILE}"
      MATOMO_ARCHIVE_CRON: "${MATOMO_ARCHIVE_CRON}"
      SCHEDULED_TASKS_CRON: "${SCHEDULED_TASKS_CRON}"
      CONCURRENT_ARCHIVERS: "${CONCURRENT_ARCHIVERS}"
      CONCURRENT_REQS_PER_WEBSITE: "${CONCURRENT_REQS_PER_WEBSITE}"
      IDSITE: "${IDSITE}"
      EXCLUDEIDSITE: "${EXCLUDEIDSITE}"
      PHP_MEMORY_LIMIT: "${PHP_MEMORY_LIMIT}"
      ARCHIVE_OPTIONS: "${ARCHIVE_OPTIONS}"
      ARCHIVE_FREE_STUCK: "${ARCHIVE_FREE_STUCK}"
      MATOMO_LDAP_CRON: "${MATOMO_LDAP_CRON}"
      MATOMO_DELETE_CRON: "${MATOMO_DELETE_CRON}"
      DAYS_TO_KEEP: "${DAYS_TO_KEEP}"
      SITE_TO_DELETE: "${SITE_TO_DELETE}"
      PREPARE_ENVIRONMENT: "${PREPARE_ENVIRONMENT}"
      JOB_TIMEOUT: "${JOB_TIMEOUT}"
      JOB_WARN_AFTER: "${JOB_WARN_AFTER}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${ARCHIVER_PING_URL}"
    volumes:
      - archiver:/var/lib/archiver
      {{- if .Values.ARCHIVER_IMAGE}}
      - matomo:${MATOMO_DIR}
      {{- end}}
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}
  {{- end}}

  {{- if eq .Values.WITH_RSYNC_CLIENT "true"}}
  rsync-client:
    image: ${REGISTRY}/rsync-client:${TAG}
    {{- if eq .Values.RANCHER_CRON "true"}}
    command: [once]
    {{- end}}
    mem_limit: 256m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      {{- if eq .Values.RANCHER_CRON "true"}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${MATOMO_RSYNC_LOGS_CRON}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      RSYNC_COMMANDS: "${RSYNC_COMMANDS}"
      MATOMO_RSYNC_LOGS_CRON: "${MATOMO_RSYNC_LOGS_CRON}"
      RSYNC_TIMEOUT: "${RSYNC_TIMEOUT}"
      RSYNC_RETRIES: "${RSYNC_RETRIES}"
      SSH_KEY_TYPE: "${SSH_KEY_TYPE}"
      SSH_KNOWN_HOSTS: "${SSH_KNOWN_HOSTS}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${RSYNC_PING_URL}"
    volumes:
      - analytics:/analytics
      - ssh:/root/.ssh
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}

  log-analytics:
    image: ${REGISTRY}/log-analytics:${TAG}
    {{- if eq .Values.RANCHER_CRON "true"}}
    command: [once]
    {{- end}}
    mem_limit: 64m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
      {{- if eq .Values.RANCHER_CRON "true"}}
      io.rancher.container.start_once: "true"
      cron.schedule: "${MATOMO_IMPORT_LOGS_CRON}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_TOKEN: "${MATOMO_TOKEN}"
      MATOMO_TOKEN_FILE: "${MATOMO_TOKEN_FILE}"
      MATOMO_LEDGER_SITE: "${MATOMO_LEDGER_SITE}"
      MATOMO_RECORDERS: "${MATOMO_RECORDERS}"
      MATOMO_IMPORT_OPTIONS: "${MATOMO_IMPORT_OPTIONS}"
      MATOMO_IMPORT_LOGS_CRON: "${MATOMO_IMPORT_LOGS_CRON}"
      MATOMO_MAX_REQUESTS_PERS: "${MATOMO_MAX_REQUESTS_PERS}"
      IMPORT_FILES: "${IMPORT_FILES}"
      SETTLE_TIME: "${SETTLE_TIME}"
      IMPORT_ATTEMPTS: "${IMPORT_ATTEMPTS}"
      INVALIDATE_HOURS: "${INVALIDATE_HOURS}"
      REPORT_FILE: "${REPORT_FILE}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${IMPORT_PING_URL}"
    volumes:
      - analytics:/analytics
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}

  {{- if eq .Values.WITH_POSTFIX "true"}}
  # The others reach it as postfix:25; a published port would be an open relay.
  postfix:
    image: ${REGISTRY}/postfix-config:${TAG}
    mem_limit: 256m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    cap_add: [CHOWN, DAC_OVERRIDE, FOWNER, KILL, NET_BIND_SERVICE, SETGID, SETUID]
    tmpfs: [/tmp, /run, /var/lib/postfix]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      MTP_HOST: "${MATOMO_SERVER_NAME}"
      MTP_RELAY: "${MTP_RELAY}"
      MTP_PORT: "${MTP_PORT}"
      MTP_USER: "${MTP_USER}"
      MTP_PASS: "${MTP_PASS}"
      MTP_PASS_FILE: "${MTP_PASS_FILE}"
      MTP_OAUTH_TOKEN_URL: "${MTP_OAUTH_TOKEN_URL}"
      MTP_OAUTH_CLIENT_ID: "${MTP_OAUTH_CLIENT_ID}"
      MTP_OAUTH_CLIENT_SECRET: "${MTP_OAUTH_CLIENT_SECRET}"
      MTP_OAUTH_CLIENT_SECRET_FILE: "${MTP_OAUTH_CLIENT_SECRET_FILE}"
      MTP_OAUTH_REFRESH_TOKEN: "${MTP_OAUTH_REFRESH_TOKEN}"
      MTP_OAUTH_REFRESH_TOKEN_FILE: "${MTP_OAUTH_REFRESH_TOKEN_FILE}"
      MTP_TLS_MODE: "${MTP_TLS_MODE}"
      SMTP_TLS_SECURITY_LEVEL: "${SMTP_TLS_SECURITY_LEVEL}"
      MTP_CA_FILE: "${MTP_CA_FILE}"
      MTP_NETWORKS: "${MTP_NETWORKS}"
      MTP_ALLOWED_SENDER_DOMAINS: "${MTP_ALLOWED_SENDER_DOMAINS}"
      MTP_SENDER: "${MTP_SENDER}"
      MTP_MASQUERADE_DOMAINS: "${MTP_MASQUERADE_DOMAINS}"
      MTP_HEADER_PRIVACY: "${MTP_HEADER_PRIVACY}"
      ANONYMIZE_EMAILS: "${ANONYMIZE_EMAILS}"
      MTP_MESSAGES_PER_MINUTE: "${MTP_MESSAGES_PER_MINUTE}"
      MTP_DKIM_MILTER: "${MTP_DKIM_MILTER}"
      MTP_DESTINATION: "${MTP_DESTINATION}"
      MTP_RELAY_DOMAINS: "${MTP_RELAY_DOMAINS}"
      MTP_BANNER: "${MTP_BANNER}"
      MTP_INTERFACES: "${MTP_INTERFACES}"
      MTP_PROTOCOLS: "${MTP_PROTOCOLS}"
      MTP_MS_SIZE_LIMIT: "${MTP_MS_SIZE_LIMIT}"
      SMTPD_TLS_SECURITY_LEVEL: "${SMTPD_TLS_SECURITY_LEVEL}"
      SMTPD_TLS_CERT_FILE: "${SMTPD_TLS_CERT_FILE}"
      SMTPD_TLS_KEY_FILE: "${SMTPD_TLS_KEY_FILE}"
    volumes:
      - postfix:/var/spool/postfix
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}

  {{- if eq .Values.WITH_MAINTENANCE "true"}}
  maintenance:
    image: ${REGISTRY}/maintenance:${TAG}
    mem_limit: 512m
    read_only: true
    cap_drop: [ALL]
    security_opt: ["no-new-privileges:true"]
    cap_add: [CHOWN, DAC_OVERRIDE, FOWNER]
    tmpfs: [/tmp]
    labels:
      io.rancher.container.pull_image: always
      io.rancher.container.hostname_override: container_name
      {{- if .Values.HOST_LABELS}}
      io.rancher.scheduler.affinity:host_label: "${HOST_LABELS}"
      {{- end}}
    environment:
      TZ: "${TZ}"
      LOG_LEVEL: "${LOG_LEVEL}"
      LOG_FORMAT: "${LOG_FORMAT}"
      MAINTENANCE_BACKUP_CRON: "${MAINTENANCE_BACKUP_CRON}"
      MAINTENANCE_LOCK: "${MAINTENANCE_LOCK}"
      MAINTENANCE_REHEARSE: "${MAINTENANCE_REHEARSE}"
      MAINTENANCE_KEEP: "${MAINTENANCE_KEEP}"
      MAINTENANCE_KEEP_AGE: "${MAINTENANCE_KEEP_AGE}"
      MAINTENANCE_TIMEOUT: "${MAINTENANCE_TIMEOUT}"
      MATOMO_URL: "${MATOMO_URL}"
      MATOMO_CONTAINERS: "${MATOMO_CONTAINERS}"
      MATOMO_TOKEN: "${MAINTENANCE_TOKEN}"
      MATOMO_TOKEN_FILE: "${MAINTENANCE_TOKEN_FILE}"
      MATOMO_DIR: "${MATOMO_DIR}"
      MARIADB_HOST: "${MARIADB_HOST}"
      MARIADB_PORT_NUMBER: "${MARIADB_PORT_NUMBER}"
      MATOMO_DATABASE_NAME: "${MATOMO_DATABASE_NAME}"
      MATOMO_DATABASE_USER: "${MATOMO_DATABASE_USER}"
      MATOMO_DATABASE_PASSWORD: "${MATOMO_DATABASE_PASSWORD}"
      MATOMO_DATABASE_PASSWORD_FILE: "${MATOMO_DATABASE_PASSWORD_FILE}"
      MARIADB_ROOT_USER: "${MARIADB_ROOT_USER}"
      MARIADB_ROOT_PASSWORD: "${MARIADB_ROOT_PASSWORD}"
      MARIADB_ROOT_PASSWORD_FILE: "${MARIADB_ROOT_PASSWORD_FILE}"
      MIN_INTERVAL: "${MIN_INTERVAL}"
      CA_FILE: "${CA_FILE}"
      HEALTH_LISTEN: "${HEALTH_LISTEN}"
      NOTIFY_MAIL_TO: "${NOTIFY_MAIL_TO}"
      NOTIFY_MAIL_FROM: "${NOTIFY_MAIL_FROM}"
      NOTIFY_MAIL_RELAY: "${NOTIFY_MAIL_RELAY}"
      NOTIFY_WEBHOOK_URL: "${NOTIFY_WEBHOOK_URL}"
      NOTIFY_PING_URL: "${MAINTENANCE_PING_URL}"
    volumes:
      - matomo:${MATOMO_DIR}
      - backups:/backups
      {{- if .Values.SECRETS_DIR}}
      - ${SECRETS_DIR}:/run/secrets:ro
      {{- end}}
  {{- end}}

volumes:
  analytics:
    driver: "${VOLUME_DRIVER}"
    {{- if .Values.ANALYTICS_DRIVER_OPTS}}
    driver_opts: { {{.Values.ANALYTICS_DRIVER_OPTS}} }
    {{- end}}
  archiver:
    driver: "${VOLUME_DRIVER}"
  backups:
    driver: "${VOLUME_DRIVER}"
    {{- if .Values.BACKUPS_DRIVER_OPTS}}
    driver_opts: { {{.Values.BACKUPS_DRIVER_OPTS}} }
    {{- end}}
  mariadb:
    driver: "${VOLUME_DRIVER}"
    {{- if .Values.MARIADB_DRIVER_OPTS}}
    driver_opts: { {{.Values.MARIADB_DRIVER_OPTS}} }
    {{- end}}
  matomo:
    driver: "${VOLUME_DRIVER}"
    {{- if .Values.MATOMO_DRIVER_OPTS}}
    driver_opts: { {{.Values.MATOMO_DRIVER_OPTS}} }
    {{- end}}
  postfix:
    driver: "${VOLUME_DRIVER}"
  ssh:
    driver: "${VOLUME_DRIVER}"

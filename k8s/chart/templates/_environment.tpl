{{/* The member's settings that are set, as its variables: name → text. */}}
{{- define "random-generator.settings" -}}
{{- $name := include "random-generator.name" . -}}
{{- $voters := .Values.voters -}}
{{- $first := int $voters.start -}}
{{- $count := int $voters.count -}}
{{- $settings := dict
  "DATA_DIR" "/logs"
  "LEASE_STORE" "kubernetes"
  "LEASE_NAME" $name
  "GOVERNING_SERVICE" $name
  "VOTERS" (ternary (toString $count) (printf "%d-%d" $first (sub (add $first $count) 1)) (eq $first 0))
  "DRAW_SCHEDULE" .Values.draw.schedule
  "DRAW_DEADLINE" .Values.draw.deadline
  "LEASE_DURATION" .Values.lease.duration
  "LEASE_RENEW_DEADLINE" .Values.lease.renewDeadline
  "LEASE_RETRY" .Values.lease.retry
  "DURABILITY" .Values.journal.durability
  "JOURNAL_MAX" .Values.journal.max
  "LEDGER_MAX" .Values.ledger.max
  "LEDGER_KEEP" .Values.ledger.keep
  "CONNECTION_LIMIT" (int .Values.http.connectionLimit | toString)
  "ANSWER_MEMORY" .Values.http.answerMemory
  "ALLOWED_ORIGINS" (join "," .Values.http.allowedOrigins)
  "SHUTDOWN_DELAY" .Values.shutdown.delay
  "DRAIN_LIMIT" .Values.shutdown.drainLimit
  "DISCOVERY_INTERVAL" .Values.discovery.interval
  "PEER_SECRET_FILE" (ternary (printf "/etc/random-generator/peer-secret/%s" .Values.peerSecret.key) "" (ne .Values.peerSecret.name ""))
  "LOG_FORMAT" .Values.log.format
  "LOG_FILTER" .Values.log.filter
-}}
{{- $set := dict -}}
{{- range $name, $value := $settings -}}
{{- if $value }}{{ $_ := set $set (printf "RANDOM_GENERATOR_%s" $name) $value }}{{ end -}}
{{- end -}}
{{- toYaml $set -}}
{{- end -}}

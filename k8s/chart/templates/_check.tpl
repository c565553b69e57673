{{/* What values.schema.json can't say: values against each other, and durations and sizes by their ranges. Each failure is a line
that names the value and what is allowed. */}}
{{- define "random-generator.check" -}}
{{- include "random-generator.check.ranges" . -}}
{{- include "random-generator.check.ordinals" . -}}
{{- include "random-generator.check.draw" . -}}
{{- include "random-generator.check.lease" . -}}
{{- include "random-generator.check.grace" . -}}
{{- include "random-generator.check.space" . -}}
{{- include "random-generator.check.resources" . -}}
{{- include "random-generator.check.env" . -}}
{{- include "random-generator.check.reserved" . -}}
{{- include "random-generator.check.fixed" . -}}
{{- end -}}

{{/* A number with its unit, in milliseconds or bytes. */}}
{{- define "random-generator.quantity" -}}
{{- $units := dict "ms" 1.0 "s" 1e3 "m" 6e4 "h" 3.6e6 "d" 8.64e7 "" 1.0 "B" 1.0 "KB" 1e3 "MB" 1e6 "GB" 1e9
  "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 -}}
{{- $number := regexFind "^[0-9.]+" . -}}
{{- mulf (float64 $number) (index $units (trimPrefix $number . | replace "iB" "i")) -}}
{{- end -}}

{{- define "random-generator.check.ranges" -}}
{{- range list
  (list "draw.deadline" .Values.draw.deadline "100ms" "3600s")
  (list "lease.duration" .Values.lease.duration "2s" "1h")
  (list "lease.retry" .Values.lease.retry "10ms" "1h")
  (list "journal.max" .Values.journal.max "2MiB" "1024GiB")
  (list "ledger.max" .Values.ledger.max "512KiB" "64GiB")
  (list "ledger.keep" .Values.ledger.keep "1h" "36500d")
  (list "http.answerMemory" .Values.http.answerMemory "1MiB" "1024GiB")
  (list "shutdown.delay" .Values.shutdown.delay "0s" "600s")
  (list "shutdown.drainLimit" .Values.shutdown.drainLimit "0s" "600s")
  (list "discovery.interval" .Values.discovery.interval "100ms" "3600s")
  (list "monitoring.podMonitor.interval" .Values.monitoring.podMonitor.interval "1s" "1m")
-}}
{{- $name := index . 0 -}}{{- $value := index . 1 -}}{{- $least := index . 2 -}}{{- $most := index . 3 -}}
{{- if $value -}}
{{- $is := include "random-generator.quantity" $value | float64 -}}
{{- if or (lt $is (include "random-generator.quantity" $least | float64)) (gt $is (include "random-generator.quantity" $most | float64)) -}}
{{- fail (printf "%s is %s: allowed are %s to %s" $name $value $least $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "random-generator.check.ordinals" -}}
{{- $start := int .Values.ordinals.start -}}
{{- $replicas := int .Values.replicas -}}
{{- $end := add $start $replicas -}}
{{- $first := int .Values.voters.start -}}
{{- $count := int .Values.voters.count -}}
{{- $last := sub (add $first $count) 1 -}}
{{- if gt $end 1024 -}}
{{- fail (printf "ordinals.start %d and replicas %d: the last ordinal may be 1023 at most" $start $replicas) -}}
{{- end -}}
{{- if gt $last 1023 -}}
{{- fail (printf "voters.start %d and voters.count %d: the last voter may be ordinal 1023 at most" $first $count) -}}
{{- end -}}
{{- /* Of no members, those that any number of replicas could run. */ -}}
{{- $run := max 0 (sub (min (ternary $end 1024 (gt $replicas 0)) (add $last 1)) (max $start $first)) -}}
{{- if le (mul 2 $run) $count -}}
{{- fail (printf "voters.start %d and voters.count %d are ordinals %d to %d, and ordinals.start %d with replicas %d runs %d of them: a draw needs more than half" $first $count $first $last $start $replicas $run) -}}
{{- end -}}
{{- end -}}

{{- define "random-generator.check.draw" -}}
{{- $every := regexFind "^@every .*" .Values.draw.schedule -}}
{{- if $every -}}
{{- $period := splitList " " $every | last -}}
{{- $is := include "random-generator.quantity" $period | float64 -}}
{{- if or (lt $is 1e3) (gt $is 8.64e7) -}}
{{- fail (printf "draw.schedule is %q: allowed after @every are 1s to 24h" .Values.draw.schedule) -}}
{{- end -}}
{{- with .Values.draw.deadline -}}
{{- if gt (include "random-generator.quantity" . | float64) $is -}}
{{- fail (printf "draw.deadline is %s: allowed is at most the period of draw.schedule, %s" . $period) -}}
{{- end -}}
{{- end -}}
{{- else if not (hasPrefix "@" .Values.draw.schedule) -}}
{{- include "random-generator.check.cron" .Values.draw.schedule -}}
{{- end -}}
{{- end -}}

{{- define "random-generator.check.lease" -}}
{{- $lease := .Values.lease -}}
{{- $duration := include "random-generator.quantity" ($lease.duration | default "15s") | float64 -}}
{{- if ne $duration (mulf 1000 (floor (divf $duration 1000))) -}}
{{- fail (printf "lease.duration is %s: allowed are whole seconds" $lease.duration) -}}
{{- end -}}
{{- $renew := divf (mulf $duration 2) 3 -}}
{{- with $lease.renewDeadline }}{{ $renew = include "random-generator.quantity" . | float64 }}{{ end -}}
{{- if or (le $renew 1e3) (ge $renew $duration) -}}
{{- fail (printf "lease.renewDeadline is %s: allowed is more than 1s, and less than lease.duration, %s" $lease.renewDeadline ($lease.duration | default "15s")) -}}
{{- end -}}
{{- $retry := divf (mulf $duration 2) 15 -}}
{{- with $lease.retry }}{{ $retry = include "random-generator.quantity" . | float64 }}{{ end -}}
{{- if le (mulf $renew 5) (mulf $retry 6) -}}
{{- fail (printf "lease.retry is %s: 1.2 times it must be less than lease.renewDeadline, %s" ($lease.retry | default "2/15 of lease.duration") ($lease.renewDeadline | default "2/3 of lease.duration")) -}}
{{- end -}}
{{- end -}}

{{/* The stages of stopping: 10 s for the lease, the delay, the limit and 2 s, 10 s to flush. */}}
{{- define "random-generator.check.grace" -}}
{{- $shutdown := .Values.shutdown -}}
{{- $delay := include "random-generator.quantity" ($shutdown.delay | default "0s") | float64 -}}
{{- $drain := include "random-generator.quantity" ($shutdown.drainLimit | default "20s") | float64 -}}
{{- if le (mulf 1000 $shutdown.gracePeriodSeconds) (addf $delay $drain 22000) -}}
{{- fail (printf "shutdown.gracePeriodSeconds is %d: allowed is more than delay + drainLimit + 22 seconds" (int $shutdown.gracePeriodSeconds)) -}}
{{- end -}}
{{- end -}}

{{/* A ledger that has no room stands for no election, and the size can't change later. 2MiB is the smallest journal. */}}
{{- define "random-generator.check.space" -}}
{{- $journal := .Values.journal.max | default "2MiB" -}}
{{- $ledger := .Values.ledger.max | default "1536KiB" -}}
{{- $needed := addf (include "random-generator.quantity" $journal | float64) (include "random-generator.quantity" $ledger | float64) -}}
{{- if gt $needed (include "random-generator.quantity" .Values.storage.size | float64) -}}
{{- fail (printf "storage.size is %s: it must have room for a journal of %s (journal.max) and a ledger of %s (ledger.max)" .Values.storage.size $journal $ledger) -}}
{{- end -}}
{{- end -}}

{{/* CPU and memory as numbers: "m" is a thousandth here. */}}
{{- define "random-generator.amount" -}}
{{- if not (kindIs "string" .) }}{{ float64 . -}}
{{- else if hasSuffix "m" . }}{{ divf (trimSuffix "m" . | float64) 1000 -}}
{{- else }}{{ include "random-generator.quantity" . }}{{ end -}}
{{- end -}}

{{- define "random-generator.check.resources" -}}
{{- $limits := .Values.resources.limits | default dict -}}
{{- range $name, $request := .Values.resources.requests | default dict -}}
{{- if hasKey $limits $name -}}
{{- $limit := index $limits $name -}}
{{- if gt (include "random-generator.amount" $request | float64) (include "random-generator.amount" $limit | float64) -}}
{{- fail (printf "resources.requests.%s is %v: allowed is at most resources.limits.%s, %v" $name $request $name $limit) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The member's variables are values, or decided by the chart, except these four. */}}
{{- define "random-generator.check.env" -}}
{{- $open := list "ADMIN_LISTEN" "DISCOVERY_NAME" "DISCOVERY_NAMESERVER" "OTLP_ENDPOINT" -}}
{{- $seen := list -}}
{{- range .Values.env -}}
{{- $own := trimPrefix "RANDOM_GENERATOR_" .name -}}
{{- $known := has .name (list "POD_NAME" "POD_NAMESPACE" "POD_UID" "POD_IP" "NODE_NAME") -}}
{{- if or $known (and (ne $own .name) (not (has $own $open))) -}}
{{- fail (printf "env: %s is set by the chart; allowed is any other variable, and of RANDOM_GENERATOR_… only %s" .name (join ", " $open)) -}}
{{- end -}}
{{- if has .name $seen -}}
{{- fail (printf "env: %s is there twice; allowed is once" .name) -}}
{{- end -}}
{{- if and .value .valueFrom -}}
{{- fail (printf "env: %s has value and valueFrom; allowed is one of them" .name) -}}
{{- end -}}
{{- $seen = append $seen .name -}}
{{- end -}}
{{- end -}}

{{- define "random-generator.check.reserved" -}}
{{- range $labels := list (list "labels" .Values.labels) (list "pod.labels" .Values.pod.labels) -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/component" -}}
{{- if hasKey (index $labels 1) $label -}}
{{- fail (printf "%s: %s is the chart's own; allowed is any other label" (index $labels 0) $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (eq .Values.ipFamilyPolicy "SingleStack") (gt (len .Values.ipFamilies) 1) -}}
{{- fail "ipFamilies has two families: allowed is one with ipFamilyPolicy SingleStack" -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name is empty: with serviceAccount.create false, name one that exists" -}}
{{- end -}}
{{- end -}}

{{/* What the API refuses to change, before anything else is changed. Without a cluster, as in `helm template`, nothing is found. */}}
{{- define "random-generator.check.fixed" -}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (include "random-generator.set" .) -}}
{{- $claim := (first .spec.volumeClaimTemplates).spec -}}
{{- $claims := "the claims stay, as they are" -}}
{{- if eq (dig "persistentVolumeClaimRetentionPolicy" "whenDeleted" "Retain" .spec) "Delete" -}}
{{- $claims = "which deletes the claims and all draws, unless retention.whenDeleted is set to Retain first" -}}
{{- end -}}
{{- $size := $claim.resources.requests.storage -}}
{{- range list
  (list "podManagementPolicy" $.Values.podManagementPolicy .spec.podManagementPolicy)
  (list "storage.accessMode" $.Values.storage.accessMode (first $claim.accessModes))
  (list "storage.className" $.Values.storage.className ($claim.storageClassName | default ""))
  (list "storage.size" $.Values.storage.size (ternary $.Values.storage.size $size
    (eq (include "random-generator.quantity" $.Values.storage.size) (include "random-generator.quantity" $size))))
-}}
{{- if ne (index . 1) (index . 2) -}}
{{- fail (printf "%s is %q and the set has %q: it can't be changed; allowed is %q, or uninstall (%s) and install again" (index . 0) (index . 1) (index . 2) (index . 2) $claims) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What all names begin with: nothing in the release `random-generator`, else the release's name; in another chart that includes
this one under an alias, that too. What is too long for a Service's name (63), or no DNS label, is shortened, with a hash so that no
two are the same. */}}
{{- define "random-generator.prefix" -}}
{{- $own := .Release.Name -}}
{{- if ne .Chart.Name "random-generator" }}{{ $own = printf "%s-%s" $own .Chart.Name }}{{ end -}}
{{- if eq $own "random-generator" -}}
{{- else if and (le (len $own) 39) (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $own) -}}
{{- printf "%s-" $own -}}
{{- else -}}
{{- $start := regexReplaceAll "[^a-z0-9]+" (lower $own) "-" | trimAll "-" -}}
{{- $start = regexReplaceAll "^([0-9])" $start "r${1}" | trunc 28 | trimAll "-" -}}
{{- printf "%s-%s-" $start (sha256sum $own | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "random-generator.name" -}}
{{- include "random-generator.prefix" . }}random-generator
{{- end -}}

{{/* Members are this name with an ordinal. At most 52 characters: the program's limit, and that of a StatefulSet. */}}
{{- define "random-generator.set" -}}
{{- include "random-generator.prefix" . }}rg
{{- end -}}

{{/* What selects the set's Pods. It can't change once installed, so only the release's name is in it. */}}
{{- define "random-generator.selector" -}}
app.kubernetes.io/name: {{ include "random-generator.name" . }}
app.kubernetes.io/component: member
{{- end -}}

{{/* Name, labels and annotations of an object: (dict "root" $ "name" "…"), and optional "labels", "annotations", "namespace". */}}
{{- define "random-generator.metadata" -}}
{{- $root := .root -}}
{{- $labels := mergeOverwrite (dict) $root.Values.labels (.labels | default dict) (dict "app.kubernetes.io/name" "random-generator") -}}
{{- $annotations := mergeOverwrite (dict) $root.Values.annotations (.annotations | default dict) -}}
{{- /* In another namespace, sets of several namespaces meet. */ -}}
{{- $elsewhere := and .namespace (ne .namespace $root.Release.Namespace) -}}
name: {{ if $elsewhere }}{{ printf "%s-%s" $root.Release.Namespace .name | quote }}{{ else }}{{ quote .name }}{{ end }}
{{- if $elsewhere }}
namespace: {{ quote .namespace }}
{{- end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- if and $annotations (not .bare) }}
annotations:
  {{- toYaml $annotations | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "random-generator.account" -}}
{{- .Values.serviceAccount.name | default (include "random-generator.name" .) -}}
{{- end -}}

{{/* What members and the Pod of `helm test` have in common. */}}
{{- define "random-generator.pod" -}}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ quote . }}
  {{- end }}
{{- end }}
{{- range $field := list "securityContext" "nodeSelector" "tolerations" }}
{{- with index $.Values.pod $field }}
{{ $field }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The image, and what the Pod Security Standard `restricted` asks of a container. */}}
{{- define "random-generator.container" -}}
{{- with .Values.image -}}
image: {{ printf "%s%s" .repository (.digest | empty | ternary (printf ":%s" .tag) (printf "@%s" .digest)) | quote }}
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

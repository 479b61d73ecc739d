{{- define "stepguard.chart" -}}
{{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of every object. Call with (list $ COMPONENT). */}}
{{- define "stepguard.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ include "stepguard.chart" $root }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{ include "stepguard.selector" . }}
{{- end }}

{{- define "stepguard.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: stepguard
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "stepguard.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $root.Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{- define "stepguard.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "stepguard.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Secret of the operator's serving certificate, where it does not manage one itself. */}}
{{- define "stepguard.operatorTlsSecret" -}}
{{- if eq .Values.tls.mode "Existing" }}{{ .Values.tls.secretName }}{{ else }}{{ .Release.Name }}-operator-certificate{{ end }}
{{- end }}

{{/* What cannot work is refused here, in one sentence. */}}
{{- define "stepguard.validate" -}}
{{- $memory := eq .Values.service.replay.url "memory:" -}}
{{- if and $memory (gt (int .Values.service.replicas) 1) }}
{{- fail "service.replicas is above 1 and service.replay.url is memory: — each replica would let the same proof pass once. Set service.replay.url to a Redis or Valkey, or service.replicas to 1." }}
{{- end }}
{{- if and $memory .Values.autoscaling.enabled }}
{{- fail "autoscaling.enabled needs a shared replay store: set service.replay.url to a Redis or Valkey." }}
{{- end }}
{{- if and .Values.service.replay.caSecret.name (not (regexMatch "^(rediss|valkeys)://" .Values.service.replay.url)) }}
{{- fail "service.replay.caSecret is for a store with TLS: let service.replay.url begin with rediss:// or valkeys://, or leave caSecret.name empty." }}
{{- end }}
{{- if and .Values.service.replay.passwordSecret.name $memory }}
{{- fail "service.replay.passwordSecret is set and service.replay.url is memory: — set service.replay.url to the Redis or Valkey that you mean." }}
{{- end }}
{{- if and .Values.service.tls.requireClientCertificate (not .Values.service.tls.secretName) }}
{{- fail "service.tls.requireClientCertificate needs TLS: set service.tls.secretName to a Secret with tls.crt, tls.key and ca.crt." }}
{{- end }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is above autoscaling.maxReplicas." }}
{{- end }}
{{- if and .Values.rbac.aggregateToEdit (not .Values.hostGrants) }}
{{- fail "rbac.aggregateToEdit needs hostGrants: without them any tenant could claim any host that is still free." }}
{{- end }}
{{- if and (eq .Values.tls.mode "CertManager") (not .Values.tls.issuerRef.name) }}
{{- fail "tls.mode is CertManager: set tls.issuerRef.name to the issuer that signs the operator's certificate." }}
{{- end }}
{{- if and (eq .Values.tls.mode "Existing") (not .Values.tls.secretName) }}
{{- fail "tls.mode is Existing: set tls.secretName to the Secret with tls.crt, tls.key and ca.crt of the operator." }}
{{- end }}
{{- end }}
